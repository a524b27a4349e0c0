#!/usr/bin/env python3
"""vibe: a small coding agent in one file that needs nothing but Python 3.9 or later and a Messages API.

It has two tools (run a command, write a file) and writes its transcript to disk before every call, so that it
can be stopped anywhere and resumed. Of budgets and checkpoints it knows nothing: the gateway sees to those.

    vibe.py --prompt-file FILE [--resume]

Environment: ANTHROPIC_BASE_URL, ANTHROPIC_AUTH_TOKEN, VIBE_MODEL, VIBE_MAX_TURNS, VIBE_MAX_TOKENS.
Exit codes: 0 finished · 1 the model's door said no, or could not be reached · 2 no budget · 3 out of turns.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = os.environ.get("GUEST_ROOT", "").rstrip("/")
WORKSPACE = ROOT + "/workspace"
TRANSCRIPT = ROOT + "/var/lib/autovibe/vibe/transcript.jsonl"

MAX_ATTEMPTS = 8
MAX_WAIT_SECONDS = 60.0
ANSWER_TIMEOUT_SECONDS = 900.0  # the gateway may hold an answer until a checkpoint is taken
COMMAND_SECONDS = 120
MAX_COMMAND_SECONDS = 1800
OUTPUT_CHARS = 16_000
SHOWN_LINES, SHOWN_CHARS = 8, 160

SYSTEM = f"""\
You are vibe, a coding agent working alone in a Linux virtual machine of your own. Your workspace is
{WORKSPACE}; commands start there. Work in small steps, run what you write, and look at the result before you
go on. Nobody can answer questions: decide sensibly and say what you decided. When the task is done, end with
a short summary and no tool call."""
TOOLS = [
    {
        "name": "run",
        "description": "Run a shell command in the workspace. Returns its output (stdout and stderr in one, "
        "the middle left out when it is long) and its exit code. It has no terminal and no input.",
        "input_schema": {
            "type": "object",
            "properties": {
                "command": {"type": "string"},
                "timeout": {"type": "integer", "description": f"seconds, {COMMAND_SECONDS} unless told"},
            },
            "required": ["command"],
        },
    },
    {
        "name": "write_file",
        "description": "Write a whole text file and its directories. Paths are relative to the workspace.",
        "input_schema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
        },
    },
]

Message = dict[str, Any]


class Refused(Exception):
    """The model's door said no, and asking again will not help; `code` is our exit code."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


class Interrupted(Exception):
    """The call failed on the way; it may be made again, after `wait` seconds where the other side said so."""

    def __init__(self, sentence: str, wait: float | None = None) -> None:
        super().__init__(sentence)
        self.wait = wait


def say(text: str) -> None:
    print(f"vibe: {text}", flush=True)


# --- the conversation


class Transcript:
    """The conversation, a message per line of JSON; each is on disk before anything is made of it."""

    def __init__(self, path: str, *, resume: bool) -> None:
        self.path = path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not resume and os.path.exists(path):
            os.replace(path, path + ".previous")
        self.messages = self._load()

    def _load(self) -> list[Message]:
        """The messages so far; half a line at the end, left by a kill while it was written, is cut off."""
        messages: list[Message] = []
        with open(self.path, "ab+") as file:
            file.seek(0)
            size = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                messages.append(json.loads(line))
                size += len(line)
            file.truncate(size)
        return messages

    def add(self, role: str, content: list[dict[str, Any]]) -> None:
        message = {"role": role, "content": content}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(message) + "\n")
        self.messages.append(message)

    def turns(self) -> int:
        return sum(message["role"] == "assistant" for message in self.messages)

    def open_with(self, prompt: str) -> bool:
        """Say the prompt, healing a turn that was cut short; False when there is nothing left to do."""
        content = [_unknown_result(call) for call in self._open_calls()]
        waiting = bool(content) or (bool(self.messages) and self.messages[-1]["role"] == "user")
        if prompt and not (waiting and prompt == self._last_prompt()):
            content.append({"type": "text", "text": prompt})
        if content:
            self.add("user", content)
        return waiting or bool(content)

    def _open_calls(self) -> list[dict[str, Any]]:
        if not self.messages or self.messages[-1]["role"] != "assistant":
            return []
        return tool_calls(self.messages[-1]["content"])

    def _last_prompt(self) -> str:
        texts = [
            block["text"]
            for message in self.messages
            if message["role"] == "user"
            for block in message["content"]
            if block["type"] == "text"
        ]
        return str(texts[-1]) if texts else ""


def tool_calls(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [block for block in content if block["type"] == "tool_use"]


def _unknown_result(call: dict[str, Any]) -> dict[str, Any]:
    said = "Interrupted: the machine was stopped here. Look whether this was done before you go on."
    return {"type": "tool_result", "tool_use_id": call["id"], "content": said, "is_error": True}


# --- calling the model


class Model:
    """The Messages API at ANTHROPIC_BASE_URL; asks for a stream, takes a plain answer too."""

    def __init__(self) -> None:
        self._url = urlsplit(os.environ.get("ANTHROPIC_BASE_URL", "https://api.anthropic.com").rstrip("/"))
        self._token = os.environ.get("ANTHROPIC_AUTH_TOKEN", "")
        self._model = os.environ.get("VIBE_MODEL") or "claude-sonnet-4-5"
        self._max_tokens = int(os.environ.get("VIBE_MAX_TOKENS") or 8192)

    def answer(self, messages: list[Message]) -> dict[str, Any]:
        """Ask until there is an answer; raises Refused when asking again will not help."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return self._ask(messages)
            except (OSError, http.client.HTTPException, Interrupted) as error:
                wait = getattr(error, "wait", None) or min(2.0 ** (attempt - 1), MAX_WAIT_SECONDS)
                if attempt == MAX_ATTEMPTS or wait > MAX_WAIT_SECONDS:
                    raise Refused(f"The model could not be reached: {error}") from None
                say(f"no answer yet ({error}); trying again in {wait:.0f} s")
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _ask(self, messages: list[Message]) -> dict[str, Any]:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.netloc, timeout=ANSWER_TIMEOUT_SECONDS)
        try:
            connection.request("POST", self._url.path + "/v1/messages", self._body(messages), self._headers())
            response = connection.getresponse()
            if response.status != 200:
                raise _failure(response.status, response.read(), response.getheader("retry-after"))
            if "event-stream" in (response.getheader("content-type") or ""):
                return assembled(response)
            return dict(json.loads(response.read()))
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._token}",
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
            "user-agent": "vibe/1",
        }

    def _body(self, messages: list[Message]) -> bytes:
        cached = {"cache_control": {"type": "ephemeral"}}
        *rest, last = messages
        *blocks, block = last["content"]
        body = {
            "model": self._model,
            "max_tokens": self._max_tokens,
            "stream": True,
            "system": [{"type": "text", "text": SYSTEM, **cached}],
            "tools": TOOLS,
            "messages": [*rest, {**last, "content": [*blocks, {**block, **cached}]}],
        }
        return json.dumps(body).encode()


def _failure(status: int, body: bytes, retry_after: str | None) -> Exception:
    """What a status that is not 200 means to us, with the sentence the other side gave."""
    try:
        sentence = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        sentence = body.decode(errors="replace").strip()[:500] or http.client.responses.get(status, "")
    if status in (408, 429) or status >= 500:
        seconds = retry_after or ""
        return Interrupted(f"{status}: {sentence}", float(seconds) if seconds.isdigit() else None)
    return Refused(f"{status}: {sentence}", code=2 if status == 402 else 1)


def assembled(stream: Any) -> dict[str, Any]:
    """One answer from its server-sent events; raises Interrupted when the stream ends early or says error."""
    answer: dict[str, Any] = {"content": [], "stop_reason": None}
    for line in stream:
        if line.startswith(b"data:"):
            event = json.loads(line[5:])
            if event["type"] == "error":
                raise Interrupted(str(event.get("error", {}).get("message", "the stream broke off")))
            if event["type"] == "message_stop":
                return answer
            _take(event, answer)
    raise Interrupted("the stream ended early")


def _take(event: dict[str, Any], answer: dict[str, Any]) -> None:
    content = answer["content"]
    if event["type"] == "content_block_start":
        content.append(dict(event["content_block"]))
        if content[-1]["type"] == "tool_use":
            content[-1]["input"] = ""
    elif event["type"] == "content_block_delta":
        delta = event["delta"]
        key = {"text_delta": "text", "input_json_delta": "input"}.get(delta["type"])
        if key:
            content[-1][key] += delta["partial_json" if key == "input" else key]
    elif event["type"] == "content_block_stop" and content[-1]["type"] == "tool_use":
        content[-1]["input"] = _parsed(content[-1]["input"])
    elif event["type"] == "message_delta":
        answer["stop_reason"] = event["delta"].get("stop_reason")


def _parsed(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text or "{}"))
    except ValueError:  # cut off by max_tokens; the caller leaves such a call out
        return {}


# --- the tools


def perform(call: dict[str, Any]) -> dict[str, Any]:
    """Carry out one tool call and describe the outcome as the block the model expects."""
    tools: dict[str, Callable[..., str]] = {"run": run, "write_file": write_file}
    try:
        said, failed = tools[call["name"]](**call["input"]), False
    except (KeyError, TypeError):
        said, failed = f"There is no tool {call['name']!r} that takes {sorted(call['input'])}.", True
    except (OSError, ValueError) as error:
        said, failed = f"That did not work: {error}", True
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": said}
    return {**result, "is_error": True} if failed else result


def run(command: str, timeout: int = COMMAND_SECONDS) -> str:
    """Run a command. Its output goes to a file: what it leaves in the background must not keep us waiting."""
    seconds = max(1, min(int(timeout), MAX_COMMAND_SECONDS))
    env = {key: value for key, value in os.environ.items() if key != "ANTHROPIC_AUTH_TOKEN"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=WORKSPACE,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            ending = f"[exit code {process.wait(seconds)}]"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            ending = f"[killed: it took longer than {seconds} s]"
        said = shortened(_ends(output).decode(errors="replace").replace("\0", ""))
    return f"{said.rstrip()}\n{ending}".lstrip()


def _ends(output: Any) -> bytes:
    """All of a file, or of a huge one its two ends."""
    size, part = output.seek(0, os.SEEK_END), 1 << 20
    output.seek(0)
    if size <= 2 * part:
        return bytes(output.read())
    head = output.read(part)
    output.seek(size - part)
    return bytes(head + b"\n[...]\n" + output.read())


def write_file(path: str, content: str) -> str:
    """Write a file; an absolute path under /workspace is the guest's."""
    inside = path[len("/workspace/") :] if path.startswith("/workspace/") else path
    target = os.path.join(WORKSPACE, inside)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w", encoding="utf-8") as file:
        file.write(content)
    return f"Wrote {len(content)} characters to {path}."


def shortened(text: str) -> str:
    """Head and tail of a long text: the command's beginning and, more often needed, how it ended."""
    if len(text) <= OUTPUT_CHARS:
        return text
    head, tail = text[: OUTPUT_CHARS // 3], text[-2 * OUTPUT_CHARS // 3 :]
    return f"{head}\n[… {len(text) - len(head) - len(tail)} characters left out …]\n{tail}"


# --- the loop


def work(transcript: Transcript, model: Model, max_turns: int) -> int:
    """Turn by turn until the model calls no more tools; returns the exit code."""
    for _ in range(max_turns):
        turn = transcript.turns() + 1
        answer = model.answer(transcript.messages)
        cut = answer.get("stop_reason") == "max_tokens"
        content = _whole_blocks(answer["content"], cut=cut)
        transcript.add("assistant", content)
        _show(turn, content)
        calls = tool_calls(content)
        if not calls and not cut:
            say(f"finished after {turn} turns")
            return 0
        transcript.add("user", _results(calls, cut=cut))
    say(f"stopped: {max_turns} turns were not enough (VIBE_MAX_TURNS)")
    return 3


def _whole_blocks(content: list[dict[str, Any]], *, cut: bool) -> list[dict[str, Any]]:
    """What of an answer can be kept: no empty texts, and no tool call that the token limit cut in two."""
    if cut and content and content[-1]["type"] == "tool_use":
        content = content[:-1]
    kept = [block for block in content if block["type"] != "text" or block["text"].strip()]
    return kept or [{"type": "text", "text": "(no text)"}]


def _results(calls: list[dict[str, Any]], *, cut: bool) -> list[dict[str, Any]]:
    results = []
    for call in calls:
        results.append(perform(call))
        for line in _excerpt(results[-1]["content"]):
            print(f"    {line}", flush=True)
    if cut:
        note = "Your answer was cut off at the token limit. Go on, in smaller steps."
        results.append({"type": "text", "text": note})
    return results


def _show(turn: int, content: list[dict[str, Any]]) -> None:
    for block in content:
        if block["type"] == "text":
            say(f"turn {turn} · {block['text'].strip()}")
        elif block["type"] == "tool_use":
            what = block["input"].get("command") or block["input"].get("path") or ""
            say(f"turn {turn} · {block['name']} `{_line(str(what))}`")


def _excerpt(text: str) -> list[str]:
    lines = [_line(line) for line in text.splitlines()]
    if len(lines) <= SHOWN_LINES:
        return lines
    half = SHOWN_LINES // 2
    return [*lines[:half], f"… {len(lines) - 2 * half} lines …", *lines[-half:]]


def _line(text: str) -> str:
    text = text.replace("\n", " ⏎ ")
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="a small coding agent")
    parser.add_argument("--prompt-file", required=True)
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args(arguments)
    with open(asked.prompt_file, encoding="utf-8") as file:
        prompt = file.read().strip()
    os.makedirs(WORKSPACE, exist_ok=True)
    transcript = Transcript(TRANSCRIPT, resume=asked.resume)
    if not transcript.open_with(prompt):
        say("there is nothing left to do: the last task was finished, and there is no new prompt")
        return 0
    try:
        return work(transcript, Model(), int(os.environ.get("VIBE_MAX_TURNS") or 100))
    except Refused as refused:
        say(str(refused))
        return refused.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
