"""Tools that may do harm: which command is one, by the patterns that a policy names or brings along.

Patterns are searched by RE2, in time that grows with the text alone: whoever writes one cannot hold up the gateway.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import re2

from projects.errors import Invalid

# More of a command is not looked at, nor of one text of it: what does harm is seldom found behind so much.
COMMAND_CHARACTERS_MAX = 128 * 1024
TEXT_CHARACTERS_MAX = 16 * 1024
PATTERN_CHARACTERS_MAX = 300
USUAL = "usual"  # stands for all patterns of the table

_REST = r"[^\n;&|]*"
_ALL = r"(\S*/)?[.*]($|[\s;&|\"')])"  # a word that stands for all that is there
RISKS: dict[str, str] = {
    "cloud-delete": rf"\b(aws|gcloud|az)\b{_REST}\s(delete\S*|terminate\S*|rb|rm)\b",
    "rm": rf"\brm\s({_REST}\s)?(-[a-zA-Z]*[rR]|--recursive|{_ALL})",
    "find-delete": rf"\bfind\s{_REST}\s-(delete|exec\s+rm)\b",
    "git-push-force": rf"\bgit\b{_REST}\bpush\b{_REST}(\s--(force|mirror|delete)|\s-[a-zA-Z]*[fd]\b|\s[+:]\S)",
    "git-reset-hard": rf"\bgit\b{_REST}\breset\b{_REST}--hard",
    "git-clean": rf"\bgit\b{_REST}\bclean\b{_REST}\s(-[a-zA-Z]*f|--force)",
    "git-discard": rf"\bgit\b{_REST}\b(checkout\b{_REST}\s(--\s|-f\b|--force|{_ALL})"
    rf"|switch\b{_REST}\s(-f\b|--force|--discard-changes)"
    r"|restore(\s+(-W|--worktree|-s\s+\S+|--source\S*|-q|--quiet|--))*\s+[^\s-]"
    rf"|restore\b{_REST}\s(-W|--worktree)\b)",
    "git-rewrite": rf"\bgit\b{_REST}\b(filter-branch|filter-repo|branch{_REST}\s-D\b|stash\s+(drop|clear))",
    "sql-drop": r"(?i)\bdrop\s+(table|database|schema)\b",
    # Without a WHERE: RE2 has no look-ahead, so it is known by what follows the table.
    "sql-delete": r"(?i)\bdelete\s+from\s+[\w.\"`\[\]]+(\s*([;\"')]|$)|\s*\n\s*[^\sw])",
    "sql-truncate": r"(?i:\btruncate\s+table\b)|\bTRUNCATE\s+[\w\"`]|(?i:\btruncate\s+[\w.\"`]+\s*;)",
    "dropdb": rf"\bdropdb\b|\bmysqladmin\b{_REST}\sdrop\b|\bdropDatabase\(",
    "redis-flush": r"(?i)\bflush(all|db)\b",
    "rmtree": r"\brmtree\s*\(",
    "truncate": rf"\btruncate\s({_REST}\s)?(-[a-z]*s|--size)",
    "mkfs": r"\bmkfs(\.\w+)?\b",
    "dd": rf"\bdd\b{_REST}\bof=",
    "shred": r"\b(shred|wipefs|blkdiscard)\b",
    "chmod": rf"\b(chmod|chown|chgrp)\b{_REST}\s(-[a-zA-Z]*R|--recursive)",
    "terraform-destroy": rf"\b(terraform|tofu|pulumi){_REST}\s(destroy|down)\b",
    "kubectl-delete": rf"\bkubectl\b{_REST}\s(delete|drain)\b",
    "helm-uninstall": rf"\bhelm\b{_REST}\s(uninstall|delete)\b",
    "docker-prune": rf"\b(docker|podman)\b{_REST}\s(prune|(volume|system|image)\s+rm)\b",
}
_CONTINUED = re.compile(r"\\\r?\n")  # the shell reads on


def check(pattern: str) -> None:
    """Raises `Invalid` for what is neither a name of the table nor an expression that RE2 takes."""
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise Invalid(f"A pattern has at most {PATTERN_CHARACTERS_MAX} characters.")
    try:
        _compiled(pattern)
    except re2.error as error:
        said = error.args[0].decode(errors="replace") if error.args else "not understood"
        raise Invalid(
            f"{pattern!r} is neither one of {', '.join([USUAL, *RISKS])}, nor a regular expression of RE2: {said}."
        ) from None


def found(command: str, patterns: Iterable[str]) -> str:
    """The first of `patterns` that the command matches; "" for none."""
    text = _CONTINUED.sub(" ", command[:COMMAND_CHARACTERS_MAX])
    for pattern in _each(patterns):
        if text and _compiled(pattern).search(text):
            return pattern
    return ""


def _each(patterns: Iterable[str]) -> Iterable[str]:
    for pattern in patterns:
        if pattern == USUAL:
            yield from RISKS
        else:
            yield pattern


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    return compiled(RISKS.get(pattern, pattern))


def compiled(expression: str) -> Any:
    """A pattern of RE2, which says nothing on standard error. Raises `re2.error`."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(expression, options)
