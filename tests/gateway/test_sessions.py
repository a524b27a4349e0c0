"""What was counted before: a tighter bound, and a bound still."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.prices import Usage, price_of
from gateway import sessions
from gateway.dialects.base import FORESEEN_TOKENS, NOTICE_BYTES, Dialect, Known, Request
from gateway.dialects.chat import CHAT
from gateway.dialects.messages import MESSAGES, Messages
from gateway.dialects.responses import RESPONSES
from tests.gateway import agents
from tests.gateway.agents import Body, claude_code, said, step

PRICE = price_of("claude-sonnet-4-5")
COUNTED = Usage(input_tokens=100, cache_read_tokens=4000, cache_write_tokens=50)
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 50_000}}


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    sessions.forget()
    yield
    sessions.forget()


def read(body: Body, dialect: Dialect = MESSAGES) -> Request:
    return dialect.read(json.dumps(body).encode())


def after(first: Body, second: Body, dialect: Dialect = MESSAGES) -> Known | None:
    """What is known of the second request once the first was answered."""
    sessions.learn("s", read(first, dialect), COUNTED)
    return sessions.recall("s", read(second, dialect))


class TestRecall:
    def test_a_session_of_claude_code_is_known_up_to_its_last_step(self) -> None:
        """Although the mark for the cache has moved on."""
        assert after(claude_code(*step(1)), claude_code(*step(1), *step(2))) == Known(4, 4150)
        request = read(claude_code(*step(1), *step(2)))
        bound = request.input_bound(PRICE, sessions.recall("s", request))
        new = sum(len(json.dumps(turn)) for turn in step(2))
        assert 4150 < bound < 4150 + new + FORESEEN_TOKENS + NOTICE_BYTES < request.input_bound(PRICE)

    def test_the_longest_beginning_counts(self) -> None:
        sessions.learn("s", read(claude_code(*step(1))), Usage(input_tokens=1000))
        sessions.learn("s", read(claude_code(*step(1), *step(2))), Usage(input_tokens=2000))
        longer = read(claude_code(*step(1), *step(2), *step(3)))
        assert sessions.recall("s", longer) == Known(6, 2000)

    def test_the_same_again_is_known_whole(self) -> None:
        assert after(claude_code(*step(1)), claude_code(*step(1), max_tokens=5)) == Known(4, 4150)

    def test_an_aside_does_not_disturb(self) -> None:
        sessions.learn("s", read(claude_code(*step(1))), COUNTED)
        sessions.learn("s", read(agents.claude_code_title()), Usage(input_tokens=5))
        assert sessions.recall("s", read(claude_code(*step(1), *step(2)))) == Known(4, 4150)

    def test_a_text_is_as_good_as_a_block_of_text(self) -> None:
        plain = claude_code({"role": "assistant", "content": "Ok."}, {"role": "user", "content": "Go."})
        marked = claude_code(said("assistant", "Ok."), said("user", "Go."), *step(1))
        assert after(plain, marked) == Known(4, 4150)

    def test_a_document_is_bounded_once_it_was_counted(self) -> None:
        source = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
        asked = {"role": "user", "content": [{"type": "document", "source": source}]}
        request = read(claude_code(asked, *step(1)))
        assert request.input_bound(PRICE) == 200_000
        known = after(claude_code(asked), claude_code(asked, *step(1)))
        assert request.input_bound(PRICE, known) < 10_000

    def test_chat_and_responses_are_remembered_too(self) -> None:
        chat = agents.aider_chat()
        more = [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "Thanks."}]
        assert after(chat, chat | {"messages": [*chat["messages"], *more]}, CHAT) == Known(5, 4150)
        asked = [{"role": "user", "content": "Go."}]
        call = {"type": "function_call", "call_id": "c", "name": "run", "arguments": "{}"}
        done = {"type": "function_call_output", "call_id": "c", "output": "ok"}
        body = {"model": "gpt-5", "input": asked}
        assert after(body, body | {"input": [*asked, call, done]}, RESPONSES) == Known(1, 4150)


class TestNotKnown:
    @pytest.mark.parametrize(
        "changes",
        [
            {"model": "claude-opus-4-5"},
            {"system": [{"type": "text", "text": "You are another."}]},
            {"tools": [{"name": "Bash", "input_schema": {}}]},
            {"thinking": {"type": "disabled"}},
            {"tool_choice": {"type": "any"}},
            {"context_management": {"edits": []}},
            {"output_config": {"effort": "high"}},
        ],
    )
    def test_another_frame_is_another_prompt(self, changes: Body) -> None:
        assert after(claude_code(*step(1)), {**claude_code(*step(1), *step(2)), **changes}) is None

    def test_other_features_make_another_prompt(self) -> None:
        sessions.learn("s", read(claude_code(*step(1))), COUNTED)
        other = read(claude_code(*step(1), *step(2)), Messages(betas="interleaved-thinking-2025-05-14"))
        assert sessions.recall("s", other) is None

    def test_nor_is_another_session_or_another_beginning(self) -> None:
        sessions.learn("s", read(claude_code(*step(1))), COUNTED)
        assert sessions.recall("t", read(claude_code(*step(1), *step(2)))) is None
        assert sessions.recall("s", read(claude_code(*step(3), *step(2)))) is None

    def test_a_turn_that_may_be_joined_to_the_one_before_is_no_new_one(self) -> None:
        assert after(claude_code(*step(1)), claude_code(*step(1), said("user", "And more."))) is None

    def test_nor_is_one_that_was_begun_for_the_model(self) -> None:
        begun = [*step(1), said("assistant", "I have")]
        assert after(claude_code(*begun), claude_code(*begun, said("assistant", " done."))) is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
            {
                "context_management": {
                    "edits": [
                        {"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}}
                    ]
                }
            },
        ],
    )
    def test_where_the_provider_clears_nothing_lasts(self, changes: Body) -> None:
        first, second = claude_code(*step(1), **changes), claude_code(*step(1), *step(2), **changes)
        assert after(first, second) is None

    @pytest.mark.parametrize(
        "block",
        [
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
            {"type": "container_upload", "file_id": "f"},
        ],
    )
    def test_what_an_address_stands_for_may_change(self, block: Body) -> None:
        asked = {"role": "user", "content": [block]}
        assert after(claude_code(asked), claude_code(asked, *step(1))) is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"previous_response_id": "resp_1"},
            {"conversation": "conv_1"},
            {"truncation": "auto"},
            {"input": [{"type": "item_reference", "id": "x"}]},
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://a"}]}]},
        ],
    )
    def test_nor_does_what_the_provider_keeps_of_responses(self, changes: Body) -> None:
        body = {"model": "gpt-5", "input": "Go.", **changes}
        assert after(body, body, RESPONSES) is None

    def test_a_mark_in_a_tools_arguments_is_content(self) -> None:
        def using(size: int) -> Body:
            use = {"type": "tool_use", "id": "1", "name": "Bash", "input": {"cache_control": "x" * size}}
            return {"role": "assistant", "content": [use]}

        result = step(1)[1]
        assert after(claude_code(using(1), result), claude_code(using(90_000), result, *step(2))) is None

    def test_only_so_much_is_remembered(self) -> None:
        for number in range(sessions.CONVERSATIONS_MAX + 1):
            sessions.learn("s", read(claude_code(*step(number))), COUNTED)
        assert sessions.recall("s", read(claude_code(*step(0)))) is None
        assert sessions.recall("s", read(claude_code(*step(1))))
        for number in range(sessions.SESSIONS_MAX):
            sessions.learn(f"other {number}", read(claude_code(*step(1))), COUNTED)
        assert sessions.recall("s", read(claude_code(*step(1)))) is None


def bytes_of(value: Any) -> int:
    """What the worst tokenizer counts: a token for every byte of every text. Images are images."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        return sum(map(bytes_of, value))
    if not isinstance(value, dict):
        return len(str(value))
    if value.get("type") == "image":
        return 4784
    hidden = ("type", "cache_control")
    return sum(len(str(key)) + bytes_of(each) for key, each in value.items() if key not in hidden)


def prompt(body: Body) -> int:
    parts = ("system", "tools", "messages")
    return sum(bytes_of(body.get(part)) for part in parts) + 4 * len(body["messages"])


TEXT = st.text(max_size=40)
BLOCK = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT),
    st.just(IMAGE),
    st.builds(lambda text: {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}, TEXT),
)
RESULT = st.builds(
    lambda content: {"type": "tool_result", "tool_use_id": "1", "content": content},
    st.one_of(TEXT, st.lists(BLOCK, max_size=2)),
)
USE = st.builds(
    lambda given: {"type": "tool_use", "id": "1", "name": "t", "input": given}, st.dictionaries(TEXT, TEXT)
)
USER = st.builds(
    lambda content: {"role": "user", "content": content},
    st.one_of(TEXT, st.lists(st.one_of(BLOCK, RESULT), max_size=3)),
)
MODEL = st.builds(
    lambda content: {"role": "assistant", "content": content},
    st.one_of(TEXT, st.lists(st.one_of(BLOCK, USE), max_size=3)),
)
ROUNDS = st.lists(st.tuples(MODEL, USER), max_size=4)


class TestBound:
    @given(first=USER, before=ROUNDS, new=ROUNDS, system=TEXT)
    def test_it_is_never_below_the_truth_nor_above_the_plain_bound(
        self, first: Body, before: list[tuple[Body, Body]], new: list[tuple[Body, Body]], system: str
    ) -> None:
        def body(rounds: list[tuple[Body, Body]]) -> Body:
            turns = [first, *(turn for each in rounds for turn in each)]
            return {"model": "claude-sonnet-4-5", "max_tokens": 9, "system": system, "messages": turns}

        sessions.forget()
        truth = prompt(body(before))
        sessions.learn("s", read(body(before)), Usage(input_tokens=truth))
        request = read(body([*before, *new]))
        known = sessions.recall("s", request)
        assert known is None if truth == 0 else known == Known(1 + 2 * len(before), truth)
        assert (
            prompt(body([*before, *new])) <= request.input_bound(PRICE, known) <= request.input_bound(PRICE)
        )
