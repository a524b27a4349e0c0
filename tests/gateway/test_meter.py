"""Usage figures, read from answers as they pass."""

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.prices import Usage
from gateway.dialects.messages.meter import StreamMeter, usage_of, whole_meter
from tests.gateway.provider import STREAM, USAGE, WHOLE, WRITTEN, beginning, middle

FIGURES = Usage(
    input_tokens=12,
    cache_read_tokens=5000,
    cache_write_tokens=200,
    cache_write_1h_tokens=100,
    output_tokens=WRITTEN,
)


class TestStreamMeter:
    @given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=30))
    def test_it_does_not_matter_how_the_stream_is_cut(self, cuts: list[int]) -> None:
        meter = StreamMeter()
        edges = [0, *sorted(cuts), len(STREAM)]
        for start, stop in pairwise(edges):
            meter.feed(STREAM[start:stop])
        assert meter.final
        assert meter.usage() == FIGURES

    def test_it_reads_carriage_returns(self) -> None:
        meter = StreamMeter()
        meter.feed(STREAM.replace(b"\n", b"\r\n"))
        assert meter.usage() == FIGURES

    def test_it_knows_the_prompt_before_the_answer_has_ended(self) -> None:
        meter = StreamMeter()
        meter.feed(b"".join([*beginning(), *middle()]))
        assert (meter.begun, meter.final) == (True, False)
        assert meter.usage().prompt_tokens == 5312

    def test_later_figures_replace_earlier_ones(self) -> None:
        meter = StreamMeter()
        meter.feed(b"".join(beginning()))
        delta = {"delta": {"stop_reason": "tool_use"}, "usage": {"input_tokens": 20, "output_tokens": 9}}
        meter.feed(b"event: message_delta\ndata: " + json.dumps(delta).encode() + b"\n\n")
        assert (meter.usage().input_tokens, meter.usage().output_tokens) == (20, 9)
        assert meter.usage().cache_read_tokens == 5000

    def test_but_not_with_less(self) -> None:
        """Some proxies know the prompt's figures at first only."""
        meter = StreamMeter()
        meter.feed(b"".join(beginning()))
        delta = {"delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 0, "output_tokens": 9}}
        meter.feed(b"event: message_delta\ndata: " + json.dumps(delta).encode() + b"\n\n")
        assert meter.final
        assert (meter.usage().input_tokens, meter.usage().output_tokens) == (12, 9)

    @pytest.mark.parametrize("data", ["", "[]", "{", '{"usage": 7}', '{"message": null}', "\x00"])
    def test_it_makes_nothing_of_nonsense(self, data: str) -> None:
        meter = StreamMeter()
        meter.feed(f"event: message_start\ndata: {data}\n\n".encode())
        assert not meter.begun
        assert meter.usage() == Usage()


class TestWholeMeter:
    def test_it_reads_an_answer_in_pieces(self) -> None:
        meter, raw = whole_meter(), json.dumps(WHOLE).encode()
        seen = meter.feed(raw[:50]) + meter.feed(raw[50:])
        assert not meter.final
        assert len(seen) < len(raw)  # the agent is not to know before the books do
        assert seen + meter.end() == raw
        assert meter.final
        assert meter.usage() == FIGURES

    @pytest.mark.parametrize("prompt", [None, "many", 0.5, -1, 2**62, True])
    def test_figures_that_are_none_are_not_the_last_word(self, prompt: object) -> None:
        meter = whole_meter()
        meter.feed(json.dumps({"usage": {"input_tokens": prompt, "output_tokens": 5}}).encode())
        meter.end()
        assert not meter.final

    def test_a_long_answer_in_many_pieces_is_read_once(self) -> None:
        """Read anew with each piece, this takes many seconds."""
        meter, began = whole_meter(), time.process_time()
        raw = json.dumps({**WHOLE, "logprobs": ["x" * 50] * 150_000}).encode()
        for start in range(0, len(raw), 16_384):
            meter.feed(raw[start : start + 16_384])
            assert not meter.final
        meter.end()
        assert (meter.final, meter.usage()) == (True, FIGURES)
        assert time.process_time() - began < 2

    def test_a_longer_one_is_not_read_and_not_kept(self) -> None:
        meter = whole_meter()
        for _ in range(17):
            meter.feed(b" " * 1024**2)
        meter.feed(json.dumps(WHOLE).encode())
        meter.end()
        assert not meter.final


class TestUsageOf:
    def test_writes_without_a_lifetime_are_five_minute_ones(self) -> None:
        assert usage_of({"cache_creation_input_tokens": 300}).cache_write_tokens == 300

    def test_it_counts_searches(self) -> None:
        assert usage_of({**USAGE, "server_tool_use": {"web_search_requests": 2}}).web_searches == 2

    def test_it_takes_a_whole_number_that_a_proxy_wrote_as_a_fraction(self) -> None:
        assert usage_of({"input_tokens": 1000.0, "output_tokens": 5}) == Usage(1000, output_tokens=5)

    def test_it_takes_no_figure_that_is_no_count(self) -> None:
        assert usage_of({"input_tokens": -5, "output_tokens": "many"}) == Usage()
