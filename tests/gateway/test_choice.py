"""Who is asked first: priorities, shares, and who is at a limit. Arithmetic, without HTTP."""

from collections import Counter
from datetime import timedelta
from email.utils import format_datetime

import pytest
from django.utils import timezone

from gateway.upstreams import choice, health
from gateway.upstreams.registry import Target, base
from gateway.upstreams.transport import retry_after

MACHINES = [f"machine-{number}" for number in range(4000)]


def target(name: str, label: str = "key", **fields: object) -> Target:
    return Target(
        name=name,
        label=label,
        base_url="http://127.0.0.1:1",
        dialects=frozenset({"messages"}),
        **fields,  # type: ignore[arg-type]
    )


class TestOrder:
    def test_lower_priorities_come_first_whatever_their_share(self) -> None:
        targets = [target("b", priority=2, share=1e6), target("a", priority=1, share=1.0)]
        for machine in MACHINES[:100]:
            assert [each.name for each in choice.in_order(targets, machine)] == ["a", "b"]

    def test_each_is_first_for_its_share_of_the_machines(self) -> None:
        """4000 draws: one standard deviation is below 0.8 %, and the draws are always the same."""
        targets = [target("a", share=70.0), target("b", share=20.0), target("c", share=10.0)]
        firsts = Counter(choice.in_order(targets, machine)[0].name for machine in MACHINES)
        for name, share in (("a", 0.7), ("b", 0.2), ("c", 0.1)):
            assert firsts[name] / len(MACHINES) == pytest.approx(share, abs=0.03)

    def test_a_machine_keeps_its_order(self) -> None:
        targets = [target(name) for name in "abcdef"]
        for machine in MACHINES[:100]:
            assert choice.in_order(targets, machine) == choice.in_order(reversed(targets), machine)

    def test_without_one_only_its_own_machines_go_elsewhere(self) -> None:
        targets = [target(name) for name in "abcd"]
        for machine in MACHINES[:500]:
            before = choice.in_order(targets, machine)
            after = choice.in_order([each for each in targets if each.name != "a"], machine)
            assert after == [each for each in before if each.name != "a"]


class TestServing:
    @pytest.mark.parametrize(
        ("pattern", "model", "serves"),
        [
            ("*", "anything", True),
            ("claude-*", "claude-sonnet-4-5", True),
            ("claude-*", "gpt-4o", False),
            ("qwen3:8b", "qwen3:8b", True),
            ("qwen3:8b", "QWEN3:8B", False),
        ],
    )
    def test_a_model_has_to_fit_a_pattern(self, pattern: str, model: str, serves: bool) -> None:
        assert target("a", patterns=(pattern,)).serves("messages", model) is serves
        assert not target("a", patterns=(pattern,)).serves("chat", model)

    def test_addresses_are_taken_as_either_provider_writes_them(self) -> None:
        assert base("http://10.0.0.5:11434/v1/") == base("http://10.0.0.5:11434") == "http://10.0.0.5:11434"


class TestSecrets:
    def test_no_key_is_in_what_a_log_would_print(self) -> None:
        assert "sk-secret" not in repr(target("a", secret="sk-secret"))


class TestBucket:
    def test_a_minutes_worth_can_go_at_once_and_then_comes_back_bit_by_bit(self) -> None:
        bucket = health.Bucket(60)
        for _ in range(60):
            assert bucket.seconds_until(1) == 0
            bucket.take(1)
        assert bucket.seconds_until(1) == pytest.approx(1.0, abs=0.2)
        assert bucket.seconds_until(30) == pytest.approx(30.0, abs=0.5)

    def test_what_is_more_than_a_minutes_worth_goes_when_it_is_full(self) -> None:
        bucket = health.Bucket(100)
        assert bucket.seconds_until(5000) == 0
        bucket.take(5000)
        assert bucket.seconds_until(1) == pytest.approx(4901 * 60 / 100, rel=0.01)

    def test_what_was_less_than_expected_is_given_back(self) -> None:
        bucket = health.Bucket(100)
        bucket.take(90)
        bucket.take(-80)
        assert bucket.seconds_until(90) == 0


class TestHealth:
    def test_a_limit_is_one_models_and_ends(self) -> None:
        one = target("limited")
        health.cool(one, "opus", 3600, "p")
        assert 0 < health.seconds_until_usable(one, "opus", 0, "p") <= health.COOL_SECONDS_MAX
        assert health.seconds_until_usable(one, "haiku", 0, "p") == 0

    def test_what_one_project_was_told_holds_for_itself_and_what_two_were_for_all(self) -> None:
        one = target("told")
        health.cool(one, "opus", 30, "p")
        assert health.seconds_until_usable(one, "opus", 0, "another") == 0
        health.cool(one, "opus", 10, "q")
        assert 5 < health.seconds_until_usable(one, "opus", 0, "another") <= 10
        assert 20 < health.seconds_until_usable(one, "opus", 0, "p") <= 30

    def test_so_with_credit_that_has_ended(self) -> None:
        one = target("spent")
        assert not health.no_credit(one, "p")
        assert (health.is_aside(one, "p"), health.is_aside(one, "q")) == (True, False)
        assert health.no_credit(one, "q")
        assert health.is_aside(one, "another")

    def test_a_new_secret_is_a_new_beginning(self) -> None:
        health.put_aside(target("aside", secret="old"))
        assert health.is_aside(target("aside", secret="old"), "p")
        assert not health.is_aside(target("aside", secret="new"), "p")

    def test_a_key_that_another_process_put_aside_is_aside_here(self) -> None:
        now = timezone.now()
        assert health.is_aside(target("x", key_id=1, cooled_until=now + timedelta(minutes=1)), "p")
        assert not health.is_aside(target("x", key_id=1, cooled_until=now - timedelta(minutes=1)), "p")


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("milliseconds", "seconds", "wait"),
        [
            (None, None, None),
            (None, "7", 7.0),
            ("1500", "7", 1.5),
            (None, "nan", None),
            (None, "inf", None),
            (None, "-3", None),
            ("soon", "7", 7.0),
            (None, "whenever", None),
        ],
    )
    def test_it_is_a_number_of_seconds(
        self, milliseconds: str | None, seconds: str | None, wait: float | None
    ) -> None:
        assert retry_after(milliseconds, seconds) == wait

    def test_or_a_date(self) -> None:
        soon = format_datetime(timezone.now() + timedelta(seconds=30), usegmt=True)
        past = format_datetime(timezone.now() - timedelta(seconds=30), usegmt=True)
        assert retry_after(None, soon) == pytest.approx(30, abs=2)
        assert retry_after(None, past) == 0
