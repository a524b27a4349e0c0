"""Responses: requests understood, bounded or refused; streams metered."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.prices import Usage, price_of
from gateway.dialects import openai
from gateway.dialects.responses import RESPONSES, ResponsesRequest
from gateway.dialects.responses.meter import StreamMeter
from gateway.errors import Refused
from tests.gateway.provider_openai import RESPONSE, RESPONSE_STREAM, RESPONSE_USAGE, response_event

PRICE = price_of("gpt-5", provider="openai")
WINDOW = 400_000
FIGURES = Usage(input_tokens=112, cache_read_tokens=1000, output_tokens=40)
FUNCTION = {"type": "function", "name": "shell", "parameters": {"type": "object"}}
# What Codex sends, by its fields.
CODEX: dict[str, Any] = {
    "model": "gpt-5",
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox…"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Write hello.py."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "Z0FBQUFB" * 20},
        {"type": "function_call", "call_id": "call_1", "name": "shell", "arguments": '{"command": ["ls"]}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "hello.py"},
    ],
    "tools": [FUNCTION, {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "session-1",
}


def read(**changes: Any) -> ResponsesRequest:
    body = {"model": "gpt-5", "input": "Say hello.", **changes}
    return RESPONSES.read(json.dumps(body).encode())


def sent(request: ResponsesRequest, tokens: int, notice: str = "") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body(tokens, notice=notice))
    return body


class TestRead:
    def test_it_understands_what_codex_sends(self) -> None:
        request = read(**CODEX)
        assert (request.model, request.stream, request.converses) == ("gpt-5", True, True)
        assert sent(request, 5000) == CODEX | {"max_output_tokens": 5000, "service_tier": "default"}
        assert request.input_bound(PRICE) < len(request.encoded) + 5000

    @pytest.mark.parametrize(
        "changes",
        [
            {"background": True},
            {"prompt": {"id": "pmpt_1"}},
            {"context_management": [{"type": "compaction"}]},
            {"moderation": {"model": "omni-moderation-latest"}},
            {"service_tier": "priority"},
            {"reasoning": {"mode": "pro"}},
            {"model": "o3-deep-research"},
            {"tools": [{"type": "web_search"}]},
            {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
            {"tools": [{"type": "image_generation"}]},
            {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://example.org"}]},
            {"tools": [{"type": "shell"}]},
            {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]},
            {"tools": [{"type": "tool_search"}]},
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "programmatic_tool_calling"}]}]},
            {"input": [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]},
            {"input": [{"type": "tool_search_output", "tools": [{"type": "code_interpreter"}]}]},
            {"input": [{"type": "compaction_trigger"}]},
            {"input": [{"type": "mcp_approval_response", "approve": True}]},
            {"input": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
            {"prompt_cache_options": {"ttl": "12h"}},
        ],
    )
    def test_it_refuses_what_costs_more_than_tokens_at_the_list_price(self, changes: dict[str, Any]) -> None:
        with pytest.raises(Refused, match=r"cost|priced apart|search") as refused:
            read(**changes)
        assert refused.value.status == 400

    @pytest.mark.parametrize(
        "changes",
        [
            {"background": False},
            {"service_tier": "auto"},
            {"reasoning": {"mode": "standard", "effort": "high"}},
            {"tools": [{"type": "local_shell"}, {"type": "apply_patch"}, {"type": "computer"}]},
            {"tools": [{"type": "shell", "environment": {"type": "local"}}]},
            {"tools": [{"type": "tool_search", "execution": "client"}]},
            {"tools": [{"type": "namespace", "name": "n", "tools": [FUNCTION]}]},
            {"text": {"format": {"type": "text"}, "verbosity": "low"}, "truncation": "disabled"},
        ],
    )
    def test_it_lets_pass_what_costs_nothing_extra_at_the_standard_tier(
        self, changes: dict[str, Any]
    ) -> None:
        assert sent(read(**changes), 100)["service_tier"] == "default"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("max_output_tokens", 0),
            ("input", 5),
            ("input.0", ["hello"]),
            ("input.0.role", [{"role": 5}]),
            ("tools.0", ["run"]),
            ("reasoning", "high"),
        ],
    )
    def test_what_is_not_of_its_documented_type_is_refused_by_name(self, name: str, value: Any) -> None:
        with pytest.raises(Refused, match=rf"^{name}: .* required\.$"):
            read(**{name.split(".")[0]: value})


class TestInputBound:
    @pytest.mark.parametrize(
        "changes",
        [
            {"previous_response_id": "resp_0"},
            {"conversation": {"id": "conv_1"}},
            {"input": [{"type": "item_reference", "id": "msg_1"}]},
            {"input": [{"id": "msg_1"}]},
            {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]},
            {"input": [{"type": "web_search_call", "id": "ws_1"}]},
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "AAAA"}]}]},
            {"input": [{"type": "function_call_output", "output": [{"type": "input_file", "file_id": "f"}]}]},
        ],
    )
    def test_what_the_provider_keeps_counts_as_the_whole_window(self, changes: dict[str, Any]) -> None:
        assert WINDOW < read(**changes).input_bound(PRICE) < WINDOW * 1.06

    @pytest.mark.parametrize(
        "item",
        [
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:," + "A" * 1_000_000}]},
            {"type": "function_call_output", "output": [{"type": "input_image", "file_id": "f"}]},
            {
                "type": "computer_call_output",
                "output": {"type": "computer_screenshot", "image_url": "https://a"},
            },
        ],
    )
    def test_an_image_counts_as_the_largest(self, item: dict[str, Any]) -> None:
        bound = read(input=[item]).input_bound(PRICE)
        assert openai.IMAGE_TOKENS < bound < openai.IMAGE_TOKENS + 5000

    def test_a_definition_that_the_provider_keeps_is_counted(self) -> None:
        plain = read(tools=[FUNCTION]).input_bound(PRICE)
        assert read(tools=[{"type": "apply_patch"}]).input_bound(PRICE) > plain + 1500


class TestNotice:
    def test_it_is_the_last_word_of_the_user(self) -> None:
        told = {"role": "user", "content": "Wrap up."}
        assert sent(read(), 100, "Wrap up.")["input"] == [{"role": "user", "content": "Say hello."}, told]
        assert sent(read(**CODEX), 100, "Wrap up.")["input"] == [*CODEX["input"], told]


class TestStreamMeter:
    @given(cuts=st.lists(st.integers(0, len(RESPONSE_STREAM)), max_size=30))
    def test_it_passes_everything_on_and_reads_the_last_event(self, cuts: list[int]) -> None:
        meter = StreamMeter()
        edges = [0, *sorted(cuts), len(RESPONSE_STREAM)]
        passed = [meter.feed(RESPONSE_STREAM[start:stop]) for start, stop in pairwise(edges)]
        assert b"".join([*passed, meter.end()]) == RESPONSE_STREAM
        assert (meter.final, meter.usage()) == (True, FIGURES)

    @pytest.mark.parametrize("how", ["completed", "incomplete", "failed"])
    def test_a_response_may_end_in_several_ways(self, how: str) -> None:
        meter = StreamMeter()
        meter.feed(response_event(f"response.{how}", response={**RESPONSE, "status": how}))
        assert meter.final

    def test_without_figures_nothing_is_known(self) -> None:
        meter = StreamMeter()
        meter.feed(response_event("response.failed", response={**RESPONSE, "usage": None}))
        assert not meter.final

    def test_a_text_that_looks_like_the_end_is_a_text(self) -> None:
        end = {"type": "response.completed", "response": {"usage": RESPONSE_USAGE}}
        meter = StreamMeter()
        meter.feed(response_event("response.output_text.delta", delta=json.dumps(end), item=end))
        assert not meter.final

    def test_an_answer_in_one_piece_has_them_too(self) -> None:
        meter = read().meter(streams=False)
        meter.feed(json.dumps(RESPONSE).encode())
        meter.end()
        assert (meter.final, meter.usage()) == (True, FIGURES)
