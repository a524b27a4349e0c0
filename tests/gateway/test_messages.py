"""Requests: understood as far as money goes, bounded, or refused."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest

from budgets.prices import price_of
from gateway import bounds, messages
from gateway.errors import Refused

PRICE = price_of("claude-sonnet-4-5")
PLAIN: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 4000,
    "messages": [{"role": "user", "content": "Say hello."}],
}
# What Claude Code 2.1.330 sends, by its fields.
CLAUDE_CODE = PLAIN | {
    "max_tokens": 128_000,
    "stream": True,
    "system": [{"type": "text", "text": "You are…", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "medium"},
    "metadata": {"user_id": "{}"},
}


def read(**changes: Any) -> messages.Request:
    return messages.read(json.dumps(PLAIN | changes).encode())


def says(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


class TestRead:
    def test_it_understands_what_claude_code_sends(self) -> None:
        request = messages.read(json.dumps(CLAUDE_CODE).encode())
        assert (request.model, request.stream, request.output_tokens) == (
            "claude-sonnet-4-5",
            True,
            128_000,
        )
        assert request.converses

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"[]",
            b"{",
            b"\xff\xfe{}",
            b'{"max_tokens": 1, "max_tokens": 9000, "model": "m"}',
            b'{"model": "m", "max_tokens": NaN}',
            b"[" * 100_000,
        ],
    )
    def test_it_refuses_what_two_parsers_could_read_differently(self, raw: bytes) -> None:
        with pytest.raises(Refused) as refused:
            messages.read(raw)
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
                messages.read(raw).input_bound(PRICE)

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

    def test_a_document_of_text_counts_as_its_bytes(self) -> None:
        source = {"type": "text", "media_type": "text/plain", "data": "word " * 100}
        assert read(messages=says([{"type": "document", "source": source}])).input_bound(PRICE) < 5000

    def test_an_argument_called_source_is_only_text(self) -> None:
        used = {"type": "tool_use", "id": "1", "name": "copy", "input": {"source": {"type": "url"}}}
        assert read(messages=says([used])).input_bound(PRICE) < 5000

    def test_a_reference_counts_as_the_tool_it_unfolds_into(self) -> None:
        tool = {"name": "big", "description": "x" * 10_000, "input_schema": {}}
        reference = {"type": "tool_reference", "tool_name": "big"}
        once = read(tools=[tool]).input_bound(PRICE)
        assert read(tools=[tool], messages=says([reference] * 3)).input_bound(PRICE) > once + 30_000


class TestMinimum:
    def test_thinking_has_to_fit(self) -> None:
        request = read(max_tokens=32_000, thinking={"type": "enabled", "budget_tokens": 16_000})
        assert request.minimum_output_tokens == 16_001

    def test_it_is_never_more_than_was_asked_for(self) -> None:
        assert read(max_tokens=10).minimum_output_tokens == 10


class TestBody:
    def test_it_is_the_agents_own_bytes(self) -> None:
        raw = b' {"model":"m",  "max_tokens":50,"messages":[]}\n'
        assert messages.read(raw).body(50) is raw

    def test_it_is_cut_to_what_was_granted(self) -> None:
        assert json.loads(read().body(1500)) == PLAIN | {"max_tokens": 1500}
