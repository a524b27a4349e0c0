"""The offline model: what it answers, whichever client asks. (tests/guest/test_vibe.py carries its script out.)"""

import json
from typing import Any

import pytest

from gateway import offline

VIBE = ["run", "write_file"]
CLAUDE_CODE = ["Agent", "Bash", "Edit", "Read", "Write"]
FIZZBUZZ = "Write a fizzbuzz with tests and make them pass"


def body(*messages: dict[str, Any], tools: list[str] = VIBE, **more: Any) -> dict[str, Any]:
    offered = [{"name": name, "input_schema": {"type": "object"}} for name in tools]
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 8192,
        "tools": offered,
        "messages": list(messages),
        **more,
    }


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said_by(answer: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": answer["content"]}


def results(answer: dict[str, Any], said: str, *, failed: bool = False) -> dict[str, Any]:
    asked = [block for block in answer["content"] if block["type"] == "tool_use"]
    content = [
        {"type": "tool_result", "tool_use_id": one["id"], "content": said, "is_error": failed}
        for one in asked
    ]
    return {"role": "user", "content": content}


async def played(*messages: dict[str, Any], said: str = "fine", **more: Any) -> list[dict[str, Any]]:
    """All answers up to the end of the script, when every call of a tool says the same."""
    answers: list[dict[str, Any]] = []
    talk = list(messages)
    while not answers or answers[-1]["stop_reason"] == "tool_use":
        assert len(answers) < 20, "it does not end"
        answers.append(await offline.respond(body(*talk, **more)))
        talk += [said_by(answers[-1]), results(answers[-1], said)]
    return answers


def calls(answers: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (b["name"], b["input"]) for answer in answers for b in answer["content"] if b["type"] == "tool_use"
    ]


class TestRespond:
    async def test_the_same_question_always_has_the_same_answer(self) -> None:
        assert await offline.respond(body(user(FIZZBUZZ))) == await offline.respond(body(user(FIZZBUZZ)))

    async def test_every_text_says_that_no_real_model_was_asked(self) -> None:
        for prompt in (FIZZBUZZ, "Now make it buzz at 7", "Refactor the database"):
            for answer in await played(user(prompt)):
                assert answer["model"] == "autovibe-offline"
                assert answer["content"][0]["text"].startswith("[offline model] (No real model was asked.)")

    async def test_it_uses_the_tools_the_client_has(self) -> None:
        vibes = calls(await played(user(FIZZBUZZ)))
        assert [name for name, _ in vibes] == ["write_file", "write_file", "run", "write_file", "run"]
        claudes = calls(await played(user(FIZZBUZZ), tools=CLAUDE_CODE))
        assert [name for name, _ in claudes] == ["Write", "Write", "Bash", "Write", "Bash"]

    async def test_it_writes_where_the_client_works_now(self) -> None:
        before = {"role": "system", "content": " - Primary working directory: /srv/before\n"}
        moved = {"role": "system", "content": "Primary working directory: /srv/now (was /srv/before)"}
        answers = await played(before, user(FIZZBUZZ), moved, tools=CLAUDE_CODE)
        assert calls(answers)[0][1]["file_path"] == "/srv/now/fizzbuzz.py"

    async def test_a_file_tool_that_refuses_is_replaced_by_the_shell(self) -> None:
        first = await offline.respond(body(user(FIZZBUZZ), tools=CLAUDE_CODE))
        refusal = results(first, "File has not been read yet.", failed=True)
        again = await offline.respond(body(user(FIZZBUZZ), said_by(first), refusal, tools=CLAUDE_CODE))
        assert again["content"][1]["name"] == "Bash"
        assert again["content"][1]["input"]["command"].startswith("cat > fizzbuzz.py <<'END_OF_FILE'\n")

    async def test_it_ends_and_says_so_when_nothing_works(self) -> None:
        answers = await played(user(FIZZBUZZ), said="/bin/sh: 1: python3: not found\n[exit code 127]")
        assert answers[-1]["stop_reason"] == "end_turn"
        assert "did not pass here" in answers[-1]["content"][0]["text"]

    async def test_a_change_starts_from_what_is_there(self) -> None:
        answers = await played(user("Now make it fizz at 4"), said="FIZZ = 3\nBUZZ = 11\n")
        assert calls(answers)[0] == ("run", {"command": "cat fizzbuzz.py test_fizzbuzz.py"})
        assert "FIZZ = 4\nBUZZ = 11\n" in calls(answers)[1][1]["content"]

    async def test_the_reminders_a_client_adds_are_no_prompts(self) -> None:
        reminder = {"type": "text", "text": "<system-reminder>\nWrite a fizzbuzz.\n</system-reminder>"}
        prompt = {"role": "user", "content": [reminder, {"type": "text", "text": "Refactor the database"}]}
        system = {"role": "system", "content": "Be brief."}
        answers = await played(prompt, system, tools=CLAUDE_CODE)
        assert [name for name, _ in calls(answers)] == ["Bash", "Write"]
        assert "Refactor the database" in calls(answers)[1][1]["content"]

    @pytest.mark.parametrize(
        "nudge", ["Go on where you left off.", "Your answer was cut off at the token limit."]
    )
    async def test_being_told_to_go_on_is_no_new_task(self, nudge: str) -> None:
        first = await offline.respond(body(user(FIZZBUZZ)))
        again = await offline.respond(body(user(FIZZBUZZ), said_by(first), results(first, "ok"), user(nudge)))
        assert again["content"][1]["input"]["path"] == "test_fizzbuzz.py"

    async def test_a_title_is_answered_in_the_shape_asked_for(self) -> None:
        schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
        shape = {"format": {"type": "json_schema", "schema": schema}}
        answer = await offline.respond(body(user(FIZZBUZZ), tools=[], output_config=shape))
        assert json.loads(answer["content"][0]["text"])["title"].startswith("[offline model]")

    async def test_aider_gets_a_new_file_in_its_edit_format_but_no_edit_of_one_it_knows(self) -> None:
        system = "Every *SEARCH/REPLACE block* must use this format"
        new = await offline.respond(body(user(FIZZBUZZ), tools=[], system=system))
        assert "fizzbuzz.py\n```python\n<<<<<<< SEARCH\n=======\n" in new["content"][0]["text"]
        known = [user("These files are there: fizzbuzz.py"), {"role": "assistant", "content": "Ok."}]
        edit = await offline.respond(body(*known, user(FIZZBUZZ), tools=[], system=system))
        assert "Nothing was changed." in edit["content"][0]["text"]

    async def test_a_commit_message_is_one_line(self) -> None:
        system = "Generate a concise, one-line Git commit message based on the diffs."
        answer = await offline.respond(body(user("diff --git a/fizzbuzz.py"), tools=[], system=system))
        assert answer["content"][0]["text"].count("\n") == 0

    @pytest.mark.parametrize("messages", [[], [{"role": "user", "content": []}], [{"role": "assistant"}]])
    async def test_odd_requests_have_an_answer_too(self, messages: list[dict[str, Any]]) -> None:
        assert (await offline.respond({"messages": messages}))["content"]


class TestUsage:
    async def test_it_never_says_more_than_it_may(self) -> None:
        for limit in (1, 20, 60):
            answer = await offline.respond(body(user(FIZZBUZZ), max_tokens=limit))
            assert answer["stop_reason"] == "max_tokens"
            assert answer["usage"]["output_tokens"] <= limit
            assert answer["content"][0]["type"] == "text"

    async def test_what_was_sent_before_is_read_from_the_cache_where_the_client_marks_it(self) -> None:
        cached = [{"type": "text", "text": "x" * 4000, "cache_control": {"type": "ephemeral"}}]
        first, second = (await played(user(FIZZBUZZ), system=cached))[:2]
        assert first["usage"]["cache_read_input_tokens"] == 0
        assert second["usage"]["cache_read_input_tokens"] > 1000 > second["usage"]["input_tokens"] > 0


class TestStream:
    async def test_it_says_the_same_as_the_plain_answer(self) -> None:
        answer = await offline.respond(body(user(FIZZBUZZ)))
        events = [parsed(event) for event in b"".join(offline.stream(answer)).decode().split("\n\n") if event]
        assert [kind for kind, _ in events][:3] == ["message_start", "ping", "content_block_start"]
        assert [kind for kind, _ in events][-2:] == ["message_delta", "message_stop"]
        begin, end = events[0][1]["message"], events[-2][1]
        assert (begin["content"], begin["stop_reason"]) == ([], None)
        assert begin["usage"]["input_tokens"] == answer["usage"]["input_tokens"]
        assert end["delta"]["stop_reason"] == "tool_use"
        assert end["usage"]["output_tokens"] == answer["usage"]["output_tokens"]
        assert joined(events, "text") == answer["content"][0]["text"]
        assert json.loads(joined(events, "partial_json")) == answer["content"][1]["input"]


def parsed(event: str) -> tuple[str, dict[str, Any]]:
    name, data = event.splitlines()
    value = json.loads(data.removeprefix("data: "))
    assert name == f"event: {value['type']}"
    return value["type"], value


def joined(events: list[tuple[str, dict[str, Any]]], key: str) -> str:
    return "".join(value["delta"].get(key, "") for kind, value in events if kind == "content_block_delta")
