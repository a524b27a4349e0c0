"""One answer for all who ask the same at the same moment: who gets which, and never an old one."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import shared
from dashboard.shared import Answers


class Counted:
    """Makes another answer each time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> bytes:
        time.sleep(0.01)
        self.times += 1
        return str(self.times).encode()


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


def test_one_that_cannot_be_made_is_tried_again_by_the_next() -> None:
    answers, arrived = Answers(), time.monotonic()

    def fail() -> bytes:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        answers.get("fleet", arrived, fail)

    assert answers.get("fleet", arrived, lambda: b"made") == b"made"


def test_only_so_many_are_kept() -> None:
    answers, arrived = Answers(), time.monotonic()

    for number in range(3 * shared.KEPT_MAX):
        answers.get(number, arrived, lambda: b"")

    assert len(answers._made) == shared.KEPT_MAX


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20)), max_size=30))
def test_nobody_ever_gets_what_was_made_before_they_came(asked: list[tuple[str, int]]) -> None:
    answers, made = Answers(), dict[bytes, float]()

    def make(key: str) -> Callable[[], bytes]:
        def made_now() -> bytes:
            answer = f"{key}{len(made)}".encode()
            made[answer] = time.monotonic()
            return answer

        return made_now

    for key, ago in asked:
        arrived = time.monotonic() - ago / 1e6
        answer = answers.get(key, arrived, make(key))
        assert made[answer] >= arrived
        assert answer.startswith(key.encode())
