"""One answer for all who ask the same at the same moment: who gets which, and never an old one."""

import sys
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import shared
from dashboard.shared import Answers


class Counted:
    """Makes another answer each time, and says that it is to another question if told so."""

    def __init__(self, key: str = "fleet") -> None:
        self.times = 0
        self.key = key

    def __call__(self) -> tuple[str, bytes]:
        time.sleep(0.01)
        self.times += 1
        return self.key, str(self.times).encode()


def nothing(key: Hashable) -> tuple[Hashable, bytes]:
    return key, b""


def test_those_who_wait_while_one_is_made_share_the_next() -> None:
    answers, make, all_here = Answers(), Counted(), Barrier(40)

    def ask(_: int) -> bytes:
        all_here.wait()
        return answers.get("fleet", time.monotonic(), make)

    with ThreadPoolExecutor(40) as crowd:
        found = set(crowd.map(ask, range(40)))

    assert make.times <= 4
    assert found <= {b"1", b"2", b"3", b"4"}


def test_what_was_made_before_somebody_asked_is_not_for_them() -> None:
    answers, make = Answers(), Counted()
    first = answers.get("fleet", time.monotonic(), make)

    assert answers.get("fleet", time.monotonic(), make) != first


def test_who_asked_before_it_was_begun_gets_what_was_made_since() -> None:
    answers, make, arrived = Answers(), Counted(), time.monotonic()
    first = answers.get("fleet", time.monotonic(), make)

    assert answers.get("fleet", arrived, make) == first


def test_another_question_has_its_own_answer() -> None:
    answers, make, arrived = Answers(), Counted(), time.monotonic()

    assert answers.get("fleet", arrived, make) != answers.get("fleet?state=failed", arrived, make)


def test_what_turns_out_to_answer_another_question_is_kept_for_that_one() -> None:
    answers, make, arrived = Answers(), Counted("what bob sees by now"), time.monotonic()
    bob_s = answers.get("what both saw", arrived, make)

    assert answers.get("what both saw", arrived, make) != bob_s
    make.key = "what both saw"
    assert answers.get("what bob sees by now", arrived, make) == b"2"


def test_one_that_cannot_be_made_is_tried_again_by_the_next() -> None:
    answers, arrived = Answers(), time.monotonic()

    def fail() -> tuple[str, bytes]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        answers.get("fleet", arrived, fail)

    assert answers.get("fleet", arrived, lambda: ("fleet", b"made")) == b"made"


def test_only_so_many_are_kept() -> None:
    answers, arrived = Answers(), time.monotonic()

    for number in range(3 * shared.KEPT_MAX):
        answers.get(number, arrived, partial(nothing, number))

    assert len(answers._made) == shared.KEPT_MAX


def test_many_at_once_do_not_lose_track_of_what_is_kept() -> None:
    answers, keys = Answers(), [uuid4() for _ in range(shared.KEPT_MAX + 6)]
    before = sys.getswitchinterval()

    def ask(_: int) -> None:
        for key in keys * 20:
            answers.get(key, time.monotonic(), partial(nothing, key))

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as crowd:
            list(crowd.map(ask, range(8)))
    finally:
        sys.setswitchinterval(before)

    assert len(answers._made) == shared.KEPT_MAX


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20)), max_size=30))
def test_nobody_ever_gets_what_was_made_before_they_came(asked: list[tuple[str, int]]) -> None:
    answers, made = Answers(), dict[bytes, float]()

    def make(key: str) -> Callable[[], tuple[str, bytes]]:
        def made_now() -> tuple[str, bytes]:
            answer = f"{key}{len(made)}".encode()
            made[answer] = time.monotonic()
            return key, answer

        return made_now

    for key, ago in asked:
        arrived = time.monotonic() - ago / 1e6
        answer = answers.get(key, arrived, make(key))
        assert made[answer] >= arrived
        assert answer.startswith(key.encode())
