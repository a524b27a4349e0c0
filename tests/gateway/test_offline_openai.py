"""The offline model in OpenAI's APIs: the same script, in their words."""

import json
from typing import Any

import pytest

from gateway import offline
from gateway.dialects.chat import CHAT
from gateway.dialects.responses import RESPONSES

FIZZBUZZ = "Write a fizzbuzz with tests and make them pass"
TOOLS = ["run", "write_file"]
STEPS = ["write_file", "write_file", "run", "write_file", "run"]
SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}


async def answered(dialect: str, body: dict[str, Any]) -> dict[str, Any]:
    _, chunks = await offline.answer(dialect, json.dumps(body).encode())
    reply: dict[str, Any] = json.loads(b"".join(chunks))
    return reply


async def streamed(dialect: str, body: dict[str, Any]) -> bytes:
    _, chunks = await offline.answer(dialect, json.dumps({**body, "stream": True}).encode())
    return b"".join(chunks)


def events(stream: bytes) -> list[dict[str, Any]]:
    data = [line[6:] for line in stream.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(each) for each in data]


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in TOOLS]
    system = {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}
    return {"model": "gpt-4o", "max_tokens": 8000, "tools": tools, "messages": [system, *messages], **more}


def responses(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    tools = [{"type": "function", "name": name} for name in TOOLS]
    return {"model": "gpt-5", "max_output_tokens": 8000, "tools": tools, "input": list(items), **more}


class TestChat:
    async def test_it_plays_its_script_to_the_end_through_the_clients_tools(self) -> None:
        talk: list[dict[str, Any]] = [{"role": "user", "content": FIZZBUZZ}]
        steps, reason = [], "tool_calls"
        while reason == "tool_calls":
            (choice,) = (await answered("chat", chat(*talk)))["choices"]
            reason = choice["finish_reason"]
            talk.append(choice["message"])
            for call in choice["message"].get("tool_calls") or []:
                steps.append(call["function"]["name"])
                assert json.loads(call["function"]["arguments"])
                talk.append({"role": "tool", "tool_call_id": call["id"], "content": "Ran 5 tests\nOK"})
        assert (steps, reason) == (STEPS, "stop")
        assert "its tests pass" in choice["message"]["content"]

    async def test_a_stream_says_the_same(self) -> None:
        body = chat({"role": "user", "content": FIZZBUZZ}, stream_options={"include_usage": True})
        whole, stream = await answered("chat", body), await streamed("chat", body)
        assert stream.endswith(b"data: [DONE]\n\n")
        *said, last = events(stream)
        deltas = [each["choices"][0]["delta"] for each in said]
        message = whole["choices"][0]["message"]
        assert "".join(delta.get("content") or "" for delta in deltas) == message["content"]
        calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
        (whole_call,) = message["tool_calls"]
        assert calls[0]["id"] == whole_call["id"]
        arguments = "".join(call["function"]["arguments"] for call in calls)
        assert arguments == whole_call["function"]["arguments"]
        assert (last["choices"], last["usage"]) == ([], whole["usage"])
        meter = CHAT.read(json.dumps(body).encode()).meter(streams=True)
        assert meter.feed(stream) == stream
        assert meter.final

    async def test_as_many_answers_as_asked_for_are_paid_for(self) -> None:
        one = await answered("chat", chat({"role": "user", "content": "Hello."}))
        two = await answered("chat", chat({"role": "user", "content": "Hello."}, n=2))
        assert [choice["index"] for choice in two["choices"]] == [0, 1]
        assert two["usage"]["completion_tokens"] == 2 * one["usage"]["completion_tokens"]

    async def test_aider_gets_a_new_file_in_its_edit_format(self) -> None:
        system = {"role": "system", "content": "Every *SEARCH/REPLACE block* must use this format"}
        answer = await answered("chat", chat(system, {"role": "user", "content": FIZZBUZZ}, tools=[]))
        assert "<<<<<<< SEARCH\n=======\n" in answer["choices"][0]["message"]["content"]

    async def test_it_answers_in_the_shape_asked_for(self) -> None:
        shape = {"type": "json_schema", "json_schema": {"name": "title", "schema": SCHEMA}}
        answer = await answered("chat", chat({"role": "user", "content": "Hello."}, response_format=shape))
        assert json.loads(answer["choices"][0]["message"]["content"])["title"]

    async def test_it_is_cut_where_the_limit_is(self) -> None:
        answer = await answered("chat", chat({"role": "user", "content": FIZZBUZZ}, max_tokens=20))
        assert answer["choices"][0]["finish_reason"] == "length"


class TestResponses:
    async def test_it_plays_its_script_to_the_end_through_the_clients_tools(self) -> None:
        talk: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "input_text", "text": FIZZBUZZ}]}]
        steps: list[str] = []
        output: list[dict[str, Any]] = []
        while not steps or any(item["type"] == "function_call" for item in output):
            output = (await answered("responses", responses(*talk)))["output"]
            talk += output
            for item in [each for each in output if each["type"] == "function_call"]:
                steps.append(item["name"])
                assert json.loads(item["arguments"])
                done = {
                    "type": "function_call_output",
                    "call_id": item["call_id"],
                    "output": "Ran 5 tests\nOK",
                }
                talk.append(done)
        assert steps == STEPS
        assert "its tests pass" in output[0]["content"][0]["text"]

    async def test_a_stream_says_the_same(self) -> None:
        body = responses({"role": "user", "content": FIZZBUZZ})
        whole, stream = await answered("responses", body), await streamed("responses", body)
        said = events(stream)
        assert [each["sequence_number"] for each in said] == list(range(len(said)))
        assert (said[0]["type"], said[-1]["type"]) == ("response.created", "response.completed")
        assert said[-1]["response"] == whole
        finished = [each["item"] for each in said if each["type"] == "response.output_item.done"]
        assert finished == whole["output"]
        text, call = whole["output"]
        deltas = {"response.output_text.delta": "", "response.function_call_arguments.delta": ""}
        for each in said:
            if each["type"] in deltas:
                deltas[each["type"]] += each["delta"]
        assert list(deltas.values()) == [text["content"][0]["text"], call["arguments"]]
        meter = RESPONSES.read(json.dumps(body).encode()).meter(streams=True)
        meter.feed(stream)
        assert meter.final
        assert meter.usage().output_tokens == whole["usage"]["output_tokens"]

    async def test_it_is_cut_where_the_limit_is(self) -> None:
        body = responses({"role": "user", "content": FIZZBUZZ}, max_output_tokens=20)
        answer = await answered("responses", body)
        assert (answer["status"], answer["incomplete_details"]) == (
            "incomplete",
            {"reason": "max_output_tokens"},
        )
        assert events(await streamed("responses", body))[-1]["type"] == "response.incomplete"

    async def test_it_answers_in_the_shape_asked_for(self) -> None:
        shape = {"format": {"type": "json_schema", "name": "title", "schema": SCHEMA}}
        answer = await answered("responses", {"input": "Hello.", "text": shape, "max_output_tokens": 500})
        assert json.loads(answer["output"][0]["content"][0]["text"])["title"]

    @pytest.mark.parametrize("given", ["", [], [{"type": "reasoning", "summary": []}], [{"role": "user"}]])
    async def test_odd_requests_have_an_answer_too(self, given: Any) -> None:
        answer = await answered("responses", {"model": "gpt-5", "input": given})
        assert answer["output"]
        assert answer["usage"]["output_tokens"] > 0
