"""Requests: understood as far as money goes, bounded, or refused."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest

from budgets.prices import price_of
from gateway.dialects.base import NOTICE_BYTES
from gateway.dialects.messages import MESSAGES, Messages, MessagesRequest, bounds
from gateway.errors import Refused
from tests.gateway import agents

PRICE = price_of("claude-sonnet-4-5")
PLAIN: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 4000,
    "messages": [{"role": "user", "content": "Say hello."}],
}


def read(**changes: Any) -> MessagesRequest:
    return MESSAGES.read(json.dumps(PLAIN | changes).encode())


def says(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


class TestRead:
    def test_it_understands_what_claude_code_sends(self) -> None:
        request = MESSAGES.read(json.dumps(agents.claude_code(*agents.step(1))).encode())
        assert (request.model, request.stream, request.output_tokens) == ("claude-sonnet-4-5", True, 64_000)
        assert request.converses
        assert json.loads(request.body(64_000)) == agents.claude_code(*agents.step(1))

    @pytest.mark.parametrize("body", [agents.claude_code_title(), agents.aider_messages()])
    def test_it_understands_the_other_calls_of_real_agents(self, body: dict[str, Any]) -> None:
        assert json.loads(MESSAGES.read(json.dumps(body).encode()).body(body["max_tokens"])) == body

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"[]",
            b"{",
            b"\xff\xfe{}",
            b'{"model": "m", "max_tokens": NaN}',
            b'{"model": "m", "max_tokens": 1, "temperature": 1e999}',
            b'{"model": "\\ud83d", "max_tokens": 1, "temperature": 1e999}',
            b"[" * 100_000,
            b'{"a": ' * 300 + b"1" + b"}" * 300,
        ],
    )
    def test_it_refuses_what_is_no_json_for_everybody(self, raw: bytes) -> None:
        with pytest.raises(Refused) as refused:
            MESSAGES.read(raw)
        assert refused.value.status == 400

    @pytest.mark.parametrize(
        "changes",
        [
            {"max_tokens": 0},
            {"max_tokens": True},
            {"max_tokens": 1.5},
            {"max_tokens": None},
            {"max_tokens": 10**12},
            {"model": 4},
        ],
    )
    def test_it_refuses_a_request_without_a_bound_on_its_answer(self, changes: dict[str, Any]) -> None:
        with pytest.raises(Refused, match="required"):
            read(**changes)

    @pytest.mark.parametrize(
        "changes",
        [
            {"mcp_servers": [{"type": "url", "url": "https://example.org"}]},
            {"container": "c1"},
            {"fallbacks": [{"model": "claude-opus-5-5"}]},
            {"speed": "fast"},
            {"inference_geo": "us"},
            {"Max_Tokens": 100_000},
            {"something_new": True},
            {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]},
            {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
            {"tools": [{"type": "tool_search_tool_bm25_20251119", "name": "tool_search"}]},
            {"thread": {"type": "continue", "previous_message_id": "msg_1"}},
            {"compaction": {"type": "summarize"}},
            {"context_management": {"edits": [{"type": "compact_20260112"}]}},
        ],
    )
    def test_it_refuses_what_it_cannot_bound(self, changes: dict[str, Any]) -> None:
        with pytest.raises(Refused, match=r"cost|second time"):
            read(**changes)

    @pytest.mark.parametrize(
        "changes",
        [
            {"mcp_servers": []},
            {"container": None},
            {"speed": "standard"},
            {"tools": [{"type": "bash_20250124", "name": "bash"}, {"type": "custom", "name": "x"}]},
            {"context_management": {"edits": []}},
        ],
    )
    def test_it_lets_pass_what_costs_nothing_extra(self, changes: dict[str, Any]) -> None:
        assert read(**changes).model

    @pytest.mark.parametrize("field", ["content", "tool_changes"])
    def test_it_refuses_a_tool_of_the_providers_that_comes_with_the_conversation(self, field: str) -> None:
        search = {
            "type": "tool_definition",
            "definition": {"type": "web_search_20260318", "name": "web_search"},
        }
        addition = {"type": "tool_addition", "tool": search}
        compacted = {"type": "compaction", "tool_changes": [addition]}
        content = [addition if field == "content" else compacted]
        with pytest.raises(Refused, match="web_search_20260318 is run by the provider"):
            read(messages=[{"role": "system", "content": content}])


class TestShape:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("output_config", 5),
            ("output_config", {"format": "json"}),
            ("output_format", ["json_schema"]),
            ("thinking", "enabled"),
            ("thinking", {"type": "enabled", "budget_tokens": "many"}),
            ("thinking", {"type": "enabled", "budget_tokens": True}),
            ("messages", {"role": "user"}),
            ("messages", ["hello"]),
            ("messages", [{"role": 5, "content": "hello"}]),
            ("messages", [{"role": "user", "content": 5}]),
            ("messages", [{"role": "user", "content": ["hello"]}]),
            ("messages", [{"role": "user", "content": [{"type": "tool_result", "content": 5}]}]),
            ("messages", [{"role": "assistant", "content": [{"type": "tool_use", "name": "run"}]}]),
            ("messages", [{"role": "assistant", "content": [{"type": "tool_use", "id": [], "name": "run"}]}]),
            ("system", 5),
            ("system", [5]),
            ("stream", "yes"),
            ("tools", 5),
            ("tools", ["bash"]),
            ("tools", [{"name": ["bash"]}]),
            ("context_management", []),
            ("context_management", {"edits": 5}),
            ("context_management", {"edits": ["clear"]}),
        ],
    )
    def test_what_is_not_of_its_documented_type_is_refused_by_name(self, name: str, value: Any) -> None:
        with pytest.raises(Refused, match=rf"^{name}.* required\.$") as refused:
            read(**{name: value})
        assert refused.value.status == 400

    def test_a_field_that_is_null_is_as_good_as_left_out(self) -> None:
        assert read(thinking=None, output_config=None, tools=None, system=None, stream=None).converses

    def test_what_is_nested_beyond_reading_is_refused(self) -> None:
        for depth in range(300, 1000):
            content = b'[{"content":' * depth + b'"x"' + b"}]" * depth
            raw = b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": %s}]}' % content
            with contextlib.suppress(Refused):
                MESSAGES.read(raw).input_bound(PRICE)

    @pytest.mark.parametrize(
        "model", ["", "claude-sonnet-4-5" + "x" * 100, "claude-sonnet-4-5\x00", "\ud800"]
    )
    def test_a_models_name_has_to_be_one(self, model: str) -> None:
        with pytest.raises(Refused, match=r"^model: a name"):
            read(model=model)


class TestConverses:
    def test_an_aside_about_the_session_does_not(self) -> None:
        assert not read(output_config={"format": {"type": "json_schema", "schema": {}}}, tools=[]).converses

    def test_a_probe_for_one_token_does_not(self) -> None:
        assert not read(max_tokens=1).converses

    def test_a_plain_question_does(self) -> None:
        assert read().converses


class TestInputBound:
    def test_it_is_more_than_the_bytes_of_the_text(self) -> None:
        text = "naïve 👩‍💻 " * 1000
        request = read(messages=[{"role": "user", "content": text}])
        assert request.input_bound(PRICE) >= len(text.encode())

    def test_an_image_counts_as_one_and_not_as_its_bytes(self) -> None:
        source = {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}
        inside_a_result = [{"type": "tool_result", "content": [{"type": "image", "source": source}]}]
        bound = read(messages=says(inside_a_result)).input_bound(PRICE)
        assert bounds.IMAGE_TOKENS < bound < bounds.IMAGE_TOKENS + 5000

    def test_an_image_by_address_counts_as_the_largest(self) -> None:
        image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
        assert read(messages=says([image])).input_bound(PRICE) > bounds.IMAGE_TOKENS

    @pytest.mark.parametrize(
        "block",
        [
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A"}},
            {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}},
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
            {"type": "container_upload", "file_id": "f"},
        ],
    )
    def test_what_cannot_be_seen_counts_as_the_whole_window(self, block: dict[str, Any]) -> None:
        request = read(messages=says([block]))
        assert request.input_bound(PRICE) == 200_000
        with pytest.raises(Refused, match="context window"):
            request.input_bound(replace(PRICE, context_window=None))

    def test_the_window_is_larger_where_a_header_says_so(self) -> None:
        source = {"type": "url", "url": "https://example.org/a.pdf"}
        body = PLAIN | {"messages": says([{"type": "document", "source": source}])}
        large = Messages(betas="effort-2025-11-24,context-1m-2025-08-07")
        assert large.read(json.dumps(body).encode()).input_bound(PRICE) == 1_000_000

    def test_a_document_of_text_counts_as_its_bytes(self) -> None:
        source = {"type": "text", "media_type": "text/plain", "data": "word " * 100}
        assert read(messages=says([{"type": "document", "source": source}])).input_bound(PRICE) < 5000

    def test_an_argument_called_source_is_only_text(self) -> None:
        used = {"type": "tool_use", "id": "1", "name": "copy", "input": {"source": {"type": "url"}}}
        assert read(messages=says([used])).input_bound(PRICE) < 5000

    @pytest.mark.parametrize(
        "reference",
        [
            {"type": "tool_reference", "tool_name": "big"},
            {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "big"}},
        ],
    )
    def test_a_reference_counts_as_the_tool_it_unfolds_into(self, reference: dict[str, Any]) -> None:
        tool = {"name": "big", "description": "x" * 10_000, "input_schema": {}}
        once = read(tools=[tool]).input_bound(PRICE)
        assert read(tools=[tool], messages=says([reference] * 3)).input_bound(PRICE) > once + 30_000

    def test_a_set_of_tools_that_the_provider_defines_counts_as_the_whole_window(self) -> None:
        computer = {"type": "computer_toolset_20260801", "name": "computer"}
        assert read(tools=[computer]).input_bound(PRICE) == 200_000


class TestMinimum:
    def test_some_thinking_has_to_fit_and_an_answer(self) -> None:
        request = read(max_tokens=32_000, thinking={"type": "enabled", "budget_tokens": 31_999})
        assert request.minimum_output_tokens == 2048

    def test_it_is_never_more_than_was_asked_for(self) -> None:
        assert read(max_tokens=10).minimum_output_tokens == 10


class TestBody:
    @pytest.mark.parametrize(
        ("granted", "thinking"), [(32_000, 16_000), (20_000, 16_000), (8_000, 6_976), (2_048, 1_024)]
    )
    def test_thinking_is_cut_with_the_answer_that_it_is_part_of(self, granted: int, thinking: int) -> None:
        request = read(max_tokens=32_000, thinking={"type": "enabled", "budget_tokens": 16_000})
        sent = json.loads(request.body(granted))
        assert (sent["max_tokens"], sent["thinking"]["budget_tokens"]) == (granted, thinking)

    def test_it_is_what_was_read_written_anew(self) -> None:
        raw = b' {"model":"m", "max_tokens":9000,  "max_tokens":50,"messages":[]}\n'
        assert MESSAGES.read(raw).body(50) == b'{"model":"m","max_tokens":50,"messages":[]}'

    def test_it_is_cut_to_what_was_granted(self) -> None:
        assert json.loads(read().body(1500)) == PLAIN | {"max_tokens": 1500}

    def test_half_a_character_stays_one(self) -> None:
        request = read(messages=[{"role": "user", "content": "Look at \ud83d"}])
        assert b"\\ud83d" in request.body(4000)
        assert request.input_bound(PRICE) > len(request.body(4000))


class TestNotice:
    def sent(self, *messages: dict[str, Any], notice: str = "Wrap up.") -> list[dict[str, Any]]:
        body = read(messages=list(messages)).body(4000, notice=notice)
        sent: list[dict[str, Any]] = json.loads(body)["messages"]
        return sent

    def test_it_comes_after_the_results_of_tools(self) -> None:
        asked, answered = agents.step(1)
        last = self.sent(agents.said("user", "Go."), asked, answered)[-1]
        assert [block["type"] for block in last["content"]] == ["tool_result", "text"]
        assert last["content"][1] == {"type": "text", "text": "Wrap up."}

    def test_it_comes_after_a_plain_text(self) -> None:
        (told,) = self.sent({"role": "user", "content": "Go."})
        assert told["content"] == [{"type": "text", "text": "Go."}, {"type": "text", "text": "Wrap up."}]

    @pytest.mark.parametrize(
        "after", [{"role": "system", "content": "…"}, {"role": "assistant", "content": "{"}]
    )
    def test_what_stands_after_the_user_stays_there(self, after: dict[str, Any]) -> None:
        sent = self.sent(agents.said("user", "Go."), after)
        assert sent[1] == after
        assert sent[0]["content"][-1]["text"] == "Wrap up."

    def test_it_is_a_turn_of_its_own_where_there_is_none(self) -> None:
        assert self.sent() == [agents.said("user", "Wrap up.")]

    def test_there_is_room_for_it_in_every_bound(self) -> None:
        request = read(messages=[])
        assert request.input_bound(PRICE) >= len(request.encoded) + bounds.OVERHEAD_TOKENS + NOTICE_BYTES
        told = self.sent(notice="é" * NOTICE_BYTES)[0]["content"][0]["text"]
        assert len(told.encode()) <= NOTICE_BYTES


class TestCacheWrites:
    @pytest.mark.parametrize(
        ("mark", "writes"),
        [
            ({}, ""),
            ({"cache_control": None}, ""),
            ({"cache_control": {"type": "ephemeral"}}, "5m"),
            ({"cache_control": {"type": "ephemeral", "ttl": "5m"}}, "5m"),
            ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "1h"),
        ],
    )
    def test_they_are_what_the_dearest_mark_says(self, mark: dict[str, Any], writes: str) -> None:
        block = {"type": "text", "text": 'a "cache_control":{"ttl":"1h"} in a text is none', **mark}
        assert read(system=[block]).cache_writes == writes
        assert read(**mark).cache_writes == writes

    def test_a_mark_cannot_be_written_so_that_it_is_overlooked(self) -> None:
        raw = b'{"model":"m","max_tokens":1,"cache\\u005fcontrol" : {"type":"ephemeral","ttl"\t:"1h"}}'
        assert MESSAGES.read(raw).cache_writes == "1h"
