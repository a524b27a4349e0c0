"""What real agents send, cut down to the fields that matter: of Claude Code 2.1.330 and Aider 0.86.2, as recorded."""

from typing import Any

Body = dict[str, Any]

CLAUDE_CODE_HEADERS = {
    "accept": "application/json",
    "user-agent": "claude-cli/2.1.330 (external, sdk-cli)",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "per-turn-control-2026-07-01,mid-conversation-tool-changes-2026-07-01,effort-2025-11-24",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-app": "cli",
    "x-stainless-retry-count": "0",
    "x-stainless-timeout": "600",
}
AIDER_HEADERS = {"user-agent": "OpenAI/Python 2.20.0", "x-stainless-read-timeout": "600.0"}

_CACHED = {"cache_control": {"type": "ephemeral"}}
_TOOLS = ("Agent", "Bash", "Edit", "Read", "ToolSearch", "Write")


def claude_code(*turns: Body, model: str = "claude-sonnet-4-5", **changes: Any) -> Body:
    """A request of a session; the mark for the cache is on the last turn, as there."""
    begun: list[Body] = [said("user", "Write hello.py."), {"role": "system", "content": "Today's date is…"}]
    *before, last = [*begun, *turns]
    if isinstance(last["content"], list):
        last = {**last, "content": [*last["content"][:-1], {**last["content"][-1], **_CACHED}]}
    return {
        "model": model,
        "max_tokens": 64_000,
        "stream": True,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330;"},
            {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude.", **_CACHED},
        ],
        "tools": [
            {"name": name, "description": name * 40, "input_schema": {"type": "object"}} for name in _TOOLS
        ],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        "metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"s"}'},
        "messages": [*before, last],
        **changes,
    }


def claude_code_title() -> Body:
    """An aside: the name of the session."""
    title = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 64_000,
        "stream": True,
        "system": [{"type": "text", "text": "Name the session."}],
        "tools": [],
        "thinking": {"type": "disabled"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": title}},
        "metadata": {"user_id": "{}"},
        "messages": [said("user", "Write hello.py.")],
    }


def step(number: int) -> list[Body]:
    """A tool used and its result; the thinking before is sealed."""
    thinking = {"type": "thinking", "thinking": "", "signature": "c2VhbGVk" * 20}
    use = {
        "type": "tool_use",
        "id": f"toolu_{number}",
        "name": "Bash",
        "input": {"command": "ls", "n": number},
    }
    result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": "hello.py\n" * 30}
    return [{"role": "assistant", "content": [thinking, use]}, {"role": "user", "content": [result]}]


def aider_chat(*, stream: bool = True) -> Body:
    """Neither a limit nor a wish for usage figures."""
    messages = [
        {"role": "system", "content": "Act as an expert software developer."},
        {"role": "user", "content": "I have *added these files to the chat*.\n\nhello.py"},
        {"role": "assistant", "content": "Ok."},
        {"role": "user", "content": "Say hello to the world."},
        {"role": "system", "content": "Every *SEARCH/REPLACE block* must use this format"},
    ]
    return {"model": "gpt-4o", "temperature": 0, "messages": messages, **({"stream": True} if stream else {})}


def aider_messages() -> Body:
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 64_000,
        "temperature": 0,
        "stream": True,
        "system": [{"type": "text", "text": "Act as an expert software developer."}],
        "messages": [said("user", "Say hello."), said("assistant", "Ok."), said("user", "To the world.")],
    }


def said(role: str, text: str) -> Body:
    return {"role": role, "content": [{"type": "text", "text": text}]}
