"""What tool calls do, as far as it can be told from outside: which run commands, and which may write files.

Agents call their tools as they like; what is known here are the usual names.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from checkpoints.triggers.risks import TEXT_CHARACTERS_MAX
from gateway.dialects.tools import ToolCall

# Of Claude Code, the text editor tool, vibe, Codex, OpenCode, Cline, Gemini CLI and the like; TodoWrite is none.
_WRITES = re.compile(
    r"(multi)?edit(_file)?|notebookedit|write(_file|_to_file)?|(create|delete|move|rename|patch)_file|patch"
    r"|apply_(patch|diff)|replace(_in_file)?|insert_content|str_replace\w*",
    re.IGNORECASE,
)
_RUNS = re.compile(
    r"(ba)?sh|shell\w*|local_shell|run\w*|exec\w*|terminal|command|python|bashoutput", re.IGNORECASE
)
_TEXTS_MAX = 200
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([nrt\"\\/]))")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def command_of(call: ToolCall) -> str:
    """What of a call may be a command: all its texts, but for tools that only write files.

    Each is cut off by itself, so that a long one hides none of the others.
    """
    if _WRITES.fullmatch(call.name):
        return ""
    if isinstance(call.arguments, str):
        found = _unescaped(call.arguments)
    else:
        found = "\n".join(text[:TEXT_CHARACTERS_MAX] for text in _texts(call.arguments))
    return found.replace("\0", " ")  # no command has it, and no column takes it


def wrote(calls: Iterable[ToolCall]) -> str:
    """The first that may have written files, in words; "" for none. A command may always have."""
    for call in calls:
        if _WRITES.fullmatch(call.name) and not _only_views(call):
            return f"{call.name} {_path(call)}".strip()
        if _RUNS.fullmatch(call.name):
            return f"{call.name} {' '.join(command_of(call).split())}"[:100].strip()
    return ""


def _only_views(call: ToolCall) -> bool:
    """The text editor tool also reads."""
    return isinstance(call.arguments, dict) and call.arguments.get("command") == "view"


def _path(call: ToolCall) -> str:
    arguments = call.arguments if isinstance(call.arguments, dict) else {}
    names = ("file_path", "notebook_path", "path", "filePath", "target_file")
    return next((str(arguments[name]) for name in names if name in arguments), "")


def _unescaped(written: str) -> str:
    """An object that is cut off, or written with a mistake, as whoever reads it leniently would; else what it is."""
    if not written.lstrip().startswith("{"):
        return written
    return _ESCAPE.sub(_meant, written)


def _meant(escape: re.Match[str]) -> str:
    code, letter = escape.groups()
    if letter:
        return _ESCAPED.get(letter, letter)
    return "?" if 0xD800 <= int(code, 16) < 0xE000 else chr(int(code, 16))  # half of a character


def _texts(value: Any) -> Iterator[str]:
    """The texts in it, a list of words as one; no deeper than tools go, and not without end."""
    left = _TEXTS_MAX
    level: list[Any] = [value]
    while level and left > 0:
        inner: list[Any] = []
        for one in level:
            if isinstance(one, list) and all(isinstance(each, str) for each in one):
                yield " ".join(one)
                continue
            for each in one.values() if isinstance(one, dict) else one:
                left -= 1
                if isinstance(each, str):
                    yield each
                elif isinstance(each, (dict, list)):
                    inner.append(each)
        level = inner
