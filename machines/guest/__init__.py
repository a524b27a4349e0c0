"""The programs that run inside a guest: single files, standard library only, Python 3.9 or later.

We never import them, only send them; what they are told and answer stands at the top of each.
"""

from pathlib import Path

NAMES = frozenset({"runner.py", "vibe.py", "claude_log.py", "identity.py", "proof.py"})


def source(name: str) -> str:
    """The text of a guest program, named with or without ".py"; raises LookupError when there is none."""
    file = name if name.endswith(".py") else f"{name}.py"
    if file not in NAMES:
        raise LookupError(f"There is no guest program {name!r}; there are {', '.join(sorted(NAMES))}.")
    return Path(__file__).with_name(file).read_text(encoding="utf-8")
