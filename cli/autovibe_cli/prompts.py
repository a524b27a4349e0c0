"""Prompts as they are given on the command line."""

from __future__ import annotations

import sys

from autovibe_cli.errors import Usage


def read(argument: str) -> str:
    """The prompt, from standard input for `-`. Raises `Usage` for none, and for what is not UTF-8."""
    try:
        prompt = sys.stdin.buffer.read().decode() if argument == "-" else argument
        prompt.encode()
    except UnicodeError:
        raise Usage("The prompt is not valid UTF-8.") from None
    if not prompt.strip():
        raise Usage("The prompt is empty: say what the agent is to do.")
    return prompt
