"""Chat Completions: requests understood, bounded or refused; streams metered, and what we asked for taken out again."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.prices import Usage, price_of
from gateway.dialects import openai
from gateway.dialects.chat import CHAT, ChatRequest
from gateway.dialects.chat.meter import StreamMeter
from gateway.errors import Refused
from tests.gateway import agents
from tests.gateway.provider_openai import CHAT_STREAM, CHAT_USAGE, CHAT_USAGE_EVENT, CHAT_WHOLE

PRICE = price_of("gpt-4o", provider="openai")
PLAIN: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}
FIGURES = Usage(input_tokens=112, cache_read_tokens=1000, output_tokens=40)


def read(**changes: Any) -> ChatRequest:
    return CHAT.read(json.dumps(PLAIN | changes).encode())


def sent(request: ChatRequest, tokens: int, notice: str = "") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body(tokens, notice=notice))
    return body


def says(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


class TestRead:
    def test_it_understands_what_aider_sends(self) -> None:
        request = CHAT.read(json.dumps(agents.aider_chat()).encode())
        assert (request.model, request.stream, request.converses) == ("gpt-4o", True, True)
        assert sent(request, 5000) == agents.aider_chat() | {
            "max_completion_tokens": 5000,
            "service_tier": "default",
            "stream_options": {"include_usage": True},
        }

    @pytest.mark.parametrize(
        "changes",
        [
            {"web_search_options": {}},
            {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
            {"prediction": {"type": "content", "content": "x"}},
            {"service_tier": "priority"},
            {"service_tier": "flex"},
            {"moderation": {"model": "omni-moderation-latest"}},
            {"tools": [{"type": "web_search"}]},
            {"tools": [{"type": "namespace", "tools": [{"type": "code_interpreter"}]}]},
            {"model": "gpt-4o-search-preview"},
            {"prompt_cache_options": {"ttl": "12h"}},
            {"prompt_cache_options": {"prewarm": True}},
            {"messages": says({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}})},
            {"messages": says({"type": "video_url", "video_url": {"url": "x"}})},
            {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
            {"something_new": 1},
        ],
    )
    def test_it_refuses_what_costs_more_than_tokens_at_the_list_price(self, changes: dict[str, Any]) -> None:
        with pytest.raises(Refused, match=r"cost|priced apart|search"):
            read(**changes)

    def test_it_refuses_a_cache_that_has_no_listed_price(self) -> None:
        part = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
        with pytest.raises(Refused, match="no listed price"):
            read(messages=says(part))

    @pytest.mark.parametrize(
        "changes",
        [
            {"service_tier": "auto"},
            {"service_tier": "default"},
            {"modalities": ["text"]},
            {"audio": None},
            {"tools": [{"type": "function", "function": {"name": "run"}}, {"type": "custom", "custom": {}}]},
            {"store": True, "seed": 4, "stop": ["x"], "logprobs": True, "reasoning_effort": "high"},
            {"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}},
        ],
    )
    def test_it_lets_pass_what_costs_nothing_extra_at_the_standard_tier(
        self, changes: dict[str, Any]
    ) -> None:
        assert sent(read(**changes), 100)["service_tier"] == "default"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("model", 4),
            ("stream", "yes"),
            ("n", 0),
            ("n", True),
            ("max_tokens", "many"),
            ("max_completion_tokens", 10**9),
            ("stream_options", []),
            ("messages", {}),
            ("messages.0", [5]),
            ("messages.0.role", [{"role": 5}]),
            ("messages.0.content.0", says("hello")),  # type: ignore[arg-type]
            ("messages.0.content.0.image_url", says({"type": "image_url", "image_url": 5})),
            ("tools.0", ["run"]),
        ],
    )
    def test_what_is_not_of_its_documented_type_is_refused_by_name(self, name: str, value: Any) -> None:
        with pytest.raises(Refused, match=rf"^{name}: .* required\.$") as refused:
            read(**{name.split(".")[0]: value})
        assert refused.value.status == 400


class TestOutput:
    def test_every_answer_is_limited_and_charged_by_itself(self) -> None:
        request = read(n=4, max_tokens=2000)
        assert (request.output_tokens, request.minimum_output_tokens) == (8000, 4096)
        assert sent(request, 6003)["max_tokens"] == 1500

    def test_the_field_stays_the_one_that_was_given(self) -> None:
        assert sent(read(max_completion_tokens=90), 80)["max_completion_tokens"] == 80
        assert "max_completion_tokens" not in sent(read(max_tokens=90), 80)

    @pytest.mark.parametrize(
        ("model", "most"),
        [
            ("gpt-4o-mini", 16_384),
            ("gpt-4.1", 32_768),
            ("gpt-4-turbo", 4_096),
            ("gpt-5.2", 32_768),
            ("gpt-5.3-chat-latest", 16_384),
            ("o3", 32_768),
            ("qwen3-coder:30b", 8_192),
        ],
    )
    def test_without_a_limit_it_is_one_that_the_model_takes(self, model: str, most: int) -> None:
        assert read(model=model).output_tokens == most

    def test_two_limits_are_refused(self) -> None:
        with pytest.raises(Refused, match="only one of them"):
            read(max_tokens=5, max_completion_tokens=5)


class TestInputBound:
    def test_it_is_more_than_the_bytes_of_the_text(self) -> None:
        text = "naïve 👩‍💻 " * 1000
        assert read(messages=[{"role": "user", "content": text}]).input_bound(PRICE) >= len(text.encode())

    @pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini"])
    def test_an_image_counts_as_the_largest_and_not_as_its_bytes(self, model: str) -> None:
        inline = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
        linked = {"type": "image_url", "image_url": "https://example.org/a.png"}
        largest = openai.IMAGE_TOKENS_BY_MODEL.get(model, openai.IMAGE_TOKENS)
        for image in (inline, linked):
            bound = read(model=model, messages=says(image)).input_bound(PRICE)
            assert largest < bound < largest + 5000

    def test_a_file_counts_as_the_whole_window(self) -> None:
        file = {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        }
        assert 128_000 < read(messages=says(file)).input_bound(PRICE) < 135_000


class TestNotice:
    def test_it_is_the_last_word_of_the_user(self) -> None:
        messages = sent(read(), 100, "Wrap up.")["messages"]
        assert messages == [*PLAIN["messages"], {"role": "user", "content": "Wrap up."}]


def streamed(meter: StreamMeter, stream: bytes, cuts: list[int]) -> bytes:
    edges = [0, *sorted(cuts), len(stream)]
    passed = [meter.feed(stream[start:stop]) for start, stop in pairwise(edges)]
    return b"".join([*passed, meter.end()])


class TestStreamMeter:
    @given(cuts=st.lists(st.integers(0, len(CHAT_STREAM)), max_size=30))
    def test_what_was_not_asked_for_is_taken_out_however_the_stream_is_cut(self, cuts: list[int]) -> None:
        meter = StreamMeter(hides_usage=True)
        assert streamed(meter, CHAT_STREAM, cuts) == CHAT_STREAM.replace(CHAT_USAGE_EVENT, b"")
        assert (meter.final, meter.usage()) == (True, FIGURES)

    @given(cuts=st.lists(st.integers(0, len(CHAT_STREAM)), max_size=30))
    def test_what_was_asked_for_stays(self, cuts: list[int]) -> None:
        meter = StreamMeter(hides_usage=False)
        assert streamed(meter, CHAT_STREAM, cuts) == CHAT_STREAM
        assert (meter.final, meter.usage()) == (True, FIGURES)

    @pytest.mark.parametrize("hides", [True, False])
    def test_the_agent_does_not_hear_of_the_end_before_the_figures_are_known(self, hides: bool) -> None:
        meter = StreamMeter(hides_usage=hides)
        for at in range(len(CHAT_STREAM)):
            if b'"finish_reason": "stop"' in meter.feed(CHAT_STREAM[at : at + 1]):
                assert meter.final
                return
        pytest.fail("the end was never heard of")

    def test_figures_may_come_with_the_end_or_without_a_last_word(self) -> None:
        """As some local servers have it."""
        event = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": CHAT_USAGE}
        raw = f"data: {json.dumps(event)}\r\n\r\n".encode()
        for ending in (b"data: [DONE]\n\n", b""):
            meter = StreamMeter(hides_usage=True)
            assert meter.feed(raw + ending) + meter.end() == raw + ending
            assert (meter.final, meter.usage()) == (True, FIGURES)

    @pytest.mark.parametrize(
        "data", ["", "[]", "{", '{"usage": 7}', '{"choices": 7}', '{"choices": [7]}', "\x00"]
    )
    def test_it_makes_nothing_of_nonsense_and_passes_it_on(self, data: str) -> None:
        meter, raw = StreamMeter(hides_usage=True), f"data: {data}\n\n".encode()
        assert meter.feed(raw) + meter.end() == raw
        assert (meter.begun, meter.final, meter.usage()) == (False, False, Usage())

    def test_a_text_that_looks_like_figures_is_a_text(self) -> None:
        said = {"choices": [{"index": 0, "delta": {"content": '"choices":[],"usage":{"prompt_tokens":1}'}}]}
        meter, raw = StreamMeter(hides_usage=True), f"data: {json.dumps(said)}\n\n".encode()
        assert meter.feed(raw) == raw
        assert not meter.begun


class TestUsage:
    def test_an_answer_in_one_piece_has_them_too(self) -> None:
        meter, raw = read().meter(streams=False), json.dumps(CHAT_WHOLE).encode()
        seen = meter.feed(raw[:50]) + meter.feed(raw[50:])
        assert not meter.final
        assert seen + meter.end() == raw
        assert (meter.final, meter.usage()) == (True, FIGURES)

    def test_what_was_written_to_the_cache_is_told_apart(self) -> None:
        details = {"cached_tokens": 1000, "cache_write_tokens": 100}
        usage = openai.usage_of({**CHAT_USAGE, "prompt_tokens_details": details})
        assert usage == Usage(
            input_tokens=12, cache_read_tokens=1000, cache_write_tokens=100, output_tokens=40
        )

    def test_parts_are_never_more_than_the_whole(self) -> None:
        details = {"cached_tokens": 5000, "cache_write_tokens": 5000}
        usage = openai.usage_of({"prompt_tokens": 10, "prompt_tokens_details": details})
        assert usage.prompt_tokens == usage.cache_read_tokens == 10


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind", "code"),
        [
            (400, "invalid_request_error", None),
            (401, "invalid_request_error", "invalid_api_key"),
            (402, "insufficient_quota", "insufficient_quota"),
            (429, "requests", "rate_limit_exceeded"),
            (502, "server_error", None),
        ],
    )
    def test_they_are_of_the_shape_that_clients_know(self, status: int, kind: str, code: str | None) -> None:
        body = CHAT.error_body(Refused(status, "No."), "req_1")
        assert body["error"] == {"message": "No.", "type": kind, "param": None, "code": code}

    def test_asking_again_is_of_no_use_but_for_a_while(self) -> None:
        assert Refused(402, "No.").headers() == {"x-should-retry": "false"}
        assert Refused(429, "No.", retry_after_seconds=3).headers() == {"retry-after": "3"}
        assert Refused(502, "No.").headers() == {}
