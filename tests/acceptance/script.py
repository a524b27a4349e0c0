"""What the scripted model says: a function of the conversation alone, so that an agent that asks again hears the same.

The work is the same for every agent: `calc.py` subtracts where it should add; mend it, run its tests, commit.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MESSAGE = "Add instead of subtracting"
DONE = "calc.py adds now, and its tests pass."

FILES = [
    {"path": "calc.py", "content": "def add(a, b):\n    return a - b\n"},
    {
        "path": "test_calc.py",
        "content": (
            "import unittest\n\nfrom calc import add\n\n\n"
            "class TestAdd(unittest.TestCase):\n"
            "    def test_it_adds(self):\n        self.assertEqual(add(2, 3), 5)\n"
        ),
    },
]
TESTS = "python3 -B -m unittest"

_AIDERS_FILES = "*added these files to the chat*"  # what Aider puts before the files it shows


@dataclass(frozen=True, slots=True)
class Conversation:
    """What an agent sent, whichever API it sent it to."""

    system: str
    users: Sequence[str]  # what the user's side said, oldest first
    tools: frozenset[str]  # names of the tools that may be asked for
    results: int  # of tools, so far


@dataclass(frozen=True, slots=True)
class Turn:
    """What is answered: a thought, a text, and perhaps a tool to be run."""

    text: str
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    thought: str = ""


def turn(conversation: Conversation) -> Turn:
    """The model's next words."""
    if {"Bash", "Read", "Edit"} <= conversation.tools:
        return _CLAUDE_CODE[min(conversation.results, len(_CLAUDE_CODE) - 1)]
    if "commit message" in conversation.system:
        return Turn(MESSAGE)
    if "SEARCH/REPLACE" in conversation.system:
        return _aider(conversation)
    return Turn("This is the scripted model; it knows no more than one piece of work.")


_CLAUDE_CODE = [
    Turn("First the tests.", "Bash", {"command": TESTS, "description": "Run the tests"}, "See what fails."),
    Turn("They fail. What does it do?", "Read", {"file_path": "calc.py"}),
    Turn(
        "It subtracts.",
        "Edit",
        {"file_path": "calc.py", "old_string": "return a - b", "new_string": "return a + b"},
        "A plus it is.",
    ),
    Turn("The tests once more.", "Bash", {"command": TESTS, "description": "Run the tests"}),
    Turn(
        "They pass.",
        "Bash",
        {
            "command": f"git init -q . && git add calc.py test_calc.py && git commit -q -m '{MESSAGE}'",
            "description": "Commit",
        },
    ),
    Turn(DONE),
]


def _aider(conversation: Conversation) -> Turn:
    """Aider shows each file as it is now, so the files say how far the work has come. The first attempt is wrong."""
    shown = next((said for said in reversed(conversation.users) if _AIDERS_FILES in said), "")
    found = re.search(r"return a ([-*+]) b", shown)
    if found is None:
        return Turn("Please add calc.py to the chat.")
    if found[1] == "+":
        return Turn(DONE)
    old, new = found[0], "return a * b" if found[1] == "-" else "return a + b"
    edit = f"<<<<<<< SEARCH\n    {old}\n=======\n    {new}\n>>>>>>> REPLACE"
    return Turn(f"Another operator:\n\ncalc.py\n```python\n{edit}\n```\n")
