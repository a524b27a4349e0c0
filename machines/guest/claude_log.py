#!/usr/bin/env python3
"""Turns Claude Code's `--output-format stream-json` into a log a person can read, line by line as it happens.

A filter, in one file that needs nothing but Python 3.9 or later. It ends with 0 when Claude Code said that it
succeeded, and with 1 when it said otherwise, or nothing.
"""

from __future__ import annotations

import json
import sys
from typing import Any

SHOWN_LINES, SHOWN_CHARS = 8, 160


def main() -> int:
    code = 1
    for line in sys.stdin:
        try:
            event = json.loads(line)
        except ValueError:
            print(line.rstrip("\n"), flush=True)
            continue
        for said in told(event):
            print(said, flush=True)
        if event.get("type") == "result":
            code = 1 if event.get("is_error") else 0
    return code


def told(event: dict[str, Any]) -> list[str]:
    """The lines of the log for one event; most kinds of event have none."""
    if event.get("type") == "system" and event.get("subtype") == "init":
        return [f"claude: session {event.get('session_id')} · {event.get('model')}"]
    if event.get("type") == "result":
        return [_ending(event)]
    content = (event.get("message") or {}).get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return [line for block in blocks for line in _block(block)]


def _ending(event: dict[str, Any]) -> str:
    if event.get("is_error"):
        return f"claude: failed: {event.get('result') or event.get('subtype')}"
    return f"claude: finished after {event.get('num_turns')} turns"


def _block(block: dict[str, Any]) -> list[str]:
    if block.get("type") == "text":
        return [f"claude: {block.get('text', '').strip()}"]
    if block.get("type") == "tool_use":
        asked = block.get("input") or {}
        what = asked.get("command") or asked.get("file_path") or asked.get("pattern") or json.dumps(asked)
        return [f"claude: {block.get('name')} `{_short(str(what))}`"]
    if block.get("type") == "tool_result":
        return [f"    {line}" for line in _excerpt(_text(block.get("content")))]
    return []


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(one.get("text", "")) for one in content if isinstance(one, dict))
    return str(content or "")


def _excerpt(text: str) -> list[str]:
    lines = [_short(line) for line in text.splitlines()]
    half = SHOWN_LINES // 2
    if len(lines) <= SHOWN_LINES:
        return lines
    return [*lines[:half], f"… {len(lines) - 2 * half} lines …", *lines[-half:]]


def _short(text: str) -> str:
    text = text.replace("\n", " ⏎ ")
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
