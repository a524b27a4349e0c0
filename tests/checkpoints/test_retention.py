"""Which checkpoints stay: what the rules promise, on any tree, at any time."""

from collections import defaultdict
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.keeping.retention import COUNTS, Known, Retention, parse, plan
from checkpoints.states import State
from projects.errors import Invalid

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOTHING = Retention(milestones=0)
IN_QUESTION = (State.CAPTURED, State.BROKEN)


def line(*ages: timedelta, name: str = "m12") -> list[Known]:
    """One machine's checkpoints of these ages, the oldest first."""
    found = []
    for number, age in enumerate(sorted(ages, reverse=True), 1):
        key = UUID(int=number + 1000 * int(name[1:]))
        parent = found[-1].id if found else None
        found.append(Known(key, f"{name}.c{number}", name, number, State.CAPTURED, NOW - age, key, parent))
    return found


def changed(known: list[Known], number: int, **how: object) -> list[Known]:
    return [replace(one, **how) if one.number == number else one for one in known]  # type: ignore[arg-type]


def kept(known: list[Known], rules: Retention, needed: dict[UUID, str] | None = None) -> dict[str, str]:
    reasons = plan(known, rules, NOW, needed or {})
    return {one.handle: reasons[one.id] for one in known if one.id in reasons}


hours, days = (lambda n: timedelta(hours=n)), (lambda n: timedelta(days=n))


class TestRules:
    def test_the_last_ones_are_kept(self) -> None:
        found = kept(line(*map(hours, range(9))), replace(NOTHING, keep_last=3))

        assert found == dict.fromkeys(("m12.c7", "m12.c8", "m12.c9"), "one of the last 3 of m12")

    def test_the_newest_of_each_day_is_kept_and_says_of_which(self) -> None:
        twice_a_day = line(*(days(n) + hours(h) for n in range(4) for h in (1, 3)))

        found = kept(twice_a_day, replace(NOTHING, daily=3))

        assert found == {
            "m12.c8": "daily of 2026-11-20",
            "m12.c6": "daily of 2026-11-19",
            "m12.c4": "daily of 2026-11-18",
        }

    def test_a_rule_does_not_count_what_an_earlier_one_keeps(self) -> None:
        found = kept(line(*map(days, range(6))), replace(NOTHING, keep_last=1, daily=2))

        assert list(found) == ["m12.c4", "m12.c5", "m12.c6"]

    @pytest.mark.parametrize(
        ("rule", "reason"),
        [
            ("hourly", "hourly of 2026-11-20 11:00 UTC"),
            ("daily", "daily of 2026-11-20"),
            ("weekly", "weekly of 2026-W47"),
            ("monthly", "monthly of 2026-11"),
        ],
    )
    def test_each_period_is_named(self, rule: str, reason: str) -> None:
        assert kept(line(hours(1)), replace(NOTHING, **{rule: 1}))["m12.c1"] == reason

    def test_milestones_are_kept_for_as_long_as_is_said(self) -> None:
        old = changed(line(days(40), days(20), days(1)), 1, milestone="final")
        old = changed(old, 2, milestone="“release”")

        assert kept(old, replace(NOTHING, milestones=30)) == {
            "m12.c2": "milestone: “release”",
            "m12.c3": "the newest of m12",
        }
        assert kept(old, Retention())["m12.c1"] == "milestone: final"

    def test_each_machine_is_counted_for_itself(self) -> None:
        both = line(hours(1), hours(2)) + line(hours(3), hours(4), name="m13")

        assert list(kept(both, replace(NOTHING, keep_last=1))) == ["m12.c2", "m13.c2"]


class TestAlways:
    def test_a_pinned_one_stays(self) -> None:
        assert kept(changed(line(days(900), days(1)), 1, pinned=True), NOTHING)["m12.c1"] == "pinned"

    def test_the_last_one_proven_stays_and_older_proofs_go(self) -> None:
        found = line(*map(days, range(5)))
        found = changed(changed(found, 2, proven=True), 3, proven=True)

        assert kept(found, NOTHING) == {
            "m12.c3": "the last one proven of m12",
            "m12.c5": "the newest of m12",
        }

    def test_what_others_share_stays(self) -> None:
        found = line(*map(days, range(3)))
        found = changed(found, 3, holder=found[0].id)

        assert kept(found, NOTHING)["m12.c1"] == "m12.c3 shares its state"

    def test_what_one_that_is_being_taken_follows_stays_though_it_is_not_the_newest(self) -> None:
        found = line(*map(days, range(4)))
        found = changed(found, 4, state=State.REQUESTED, parent=found[0].id)

        assert kept(found, NOTHING) == {
            "m12.c1": "m12.c4, which follows it, is being taken",
            "m12.c3": "the newest of m12",
        }

    def test_what_something_needs_stays_and_says_for_what(self) -> None:
        found = line(*map(days, range(3)))

        assert kept(found, NOTHING, {found[0].id: "it is being verified"})["m12.c1"] == "it is being verified"

    def test_a_broken_one_goes_after_a_week(self) -> None:
        found = [replace(one, state=State.BROKEN) for one in line(days(8), days(6))]

        assert kept(found, Retention(keep_last=9)) == {
            "m12.c2": "broken; what is left of it is kept for 7 days"
        }


class TestParse:
    def test_what_is_not_said_is_as_in_the_base(self) -> None:
        assert parse({"daily": 3}, Retention(keep_last=5, daily=9)) == Retention(keep_last=5, daily=3)

    @pytest.mark.parametrize(("said", "days"), [(True, None), (False, 0), (90, 90), (1, 1)])
    def test_milestones_are_yes_no_or_days(self, said: object, days: int | None) -> None:
        rules = parse({"milestones": said})

        assert rules.milestones == days
        assert parse(rules.plain) == rules

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"yearly": 1}, "no rule 'yearly'"),
            ({"daily": -1}, "daily is a whole number from 0"),
            ({"daily": True}, "not True"),
            ({"keep_last": "3"}, "not '3'"),
            ({"milestones": 1.5}, "true or false, not 1.5"),
        ],
    )
    def test_nonsense_is_refused_with_a_sentence(self, values: dict[str, object], sentence: str) -> None:
        with pytest.raises(Invalid, match=sentence):
            parse(values)


# --- any tree, any rules, any time ---


@st.composite
def trees(draw: st.DrawFn) -> list[Known]:
    """Lines that branch from each other, with sharers, pins, proofs and states of every kind."""
    found: list[Known] = []
    for name in [f"m{number}" for number in range(1, draw(st.integers(1, 4)) + 1)]:
        at = NOW - draw(st.timedeltas(days(0), days(400)))
        parent = draw(st.sampled_from(found)).id if found and draw(st.booleans()) else None
        physical: list[Known] = []
        for number in range(1, draw(st.integers(0, 12)) + 1):
            at = min(NOW, at + draw(st.timedeltas(timedelta(0), days(20))))
            key = UUID(int=len(found) + 1)
            share = bool(physical) and draw(st.integers(0, 3)) == 0
            one = Known(
                id=key,
                handle=f"{name}.c{number}",
                line=name,
                number=number,
                state=draw(st.sampled_from([State.CAPTURED] * 6 + list(State))),
                at=at,
                holder=draw(st.sampled_from(physical)).id if share else key,
                parent=parent,
                pinned=draw(st.integers(0, 9)) == 0,
                proven=draw(st.integers(0, 4)) == 0,
                milestone=draw(st.sampled_from(["", "", "", "final", "“x”"])),
            )
            found.append(one)
            if not share:
                physical.append(one)
            # A rollback lets the line go on from anywhere.
            parent = draw(st.sampled_from(found)).id if draw(st.integers(0, 5)) == 0 else key
    return found


counts = st.sampled_from([0, 0, 0, 1, 2, 5])  # strict ones show more
rules = st.builds(
    Retention,
    **dict.fromkeys(COUNTS, counts),
    milestones=st.one_of(st.just(0), st.none(), st.integers(0, 500)),
)
needs = st.sets(st.integers(1, 40)).map(lambda keys: {UUID(int=key): "needed" for key in keys})


def pruned(known: list[Known], reasons: dict[UUID, str]) -> list[Known]:
    gone = [one.id for one in known if one.state in IN_QUESTION and one.id not in reasons]
    return [replace(one, state=State.PRUNED) if one.id in gone else one for one in known]


def by_line(known: list[Known]) -> dict[str, list[Known]]:
    lines: dict[str, list[Known]] = defaultdict(list)
    for one in sorted(known, key=lambda one: one.number, reverse=True):
        if one.state == State.CAPTURED:
            lines[one.line].append(one)
    return lines


class TestOfAnyTree:
    @given(trees(), rules, needs)
    def test_what_the_rules_promise_is_kept(
        self, known: list[Known], rules: Retention, needed: dict[UUID, str]
    ) -> None:
        reasons = plan(known, rules, NOW, needed)

        for found in by_line(known).values():
            assert all(one.id in reasons for one in found[: rules.keep_last])
            for rule, width in (
                ("hourly", "%Y%m%d%H"),
                ("daily", "%Y%m%d"),
                ("weekly", "%G%V"),
                ("monthly", "%Y%m"),
            ):
                newest: dict[str, Known] = {}
                for one in found:
                    newest.setdefault(f"{one.at:{width}}", one)
                wanted = getattr(rules, rule)
                held = sum(1 for one in newest.values() if one.id in reasons)
                assert held >= min(wanted, len(newest)), rule
            young = [
                one for one in found if rules.milestones is None or one.at > NOW - days(rules.milestones)
            ]
            assert all(one.id in reasons for one in young if one.milestone)
        for one in known:
            if one.state in IN_QUESTION and (one.pinned or one.id in needed):
                assert one.id in reasons

    @given(trees(), rules)
    def test_nothing_is_orphaned_and_the_last_proven_one_stays(
        self, known: list[Known], rules: Retention
    ) -> None:
        after = pruned(known, plan(known, rules, NOW, {}))

        there = {one.id: one for one in after}
        assert set(there) == {one.id for one in known}
        assert [one.parent for one in after] == [one.parent for one in known]
        before = {one.id: one.state for one in known}
        for one in after:
            if one.state in (State.CAPTURED, State.REQUESTED) and before[one.holder] in IN_QUESTION:
                assert there[one.holder].state == before[one.holder], f"{one.handle} has lost its state"
        for name, found in by_line(known).items():
            left = by_line(after)[name]
            assert left[0].id == found[0].id
            if proven := [one.id for one in found if one.proven]:
                assert next(one.id for one in left if one.proven) == proven[0]

    @given(trees(), rules, needs)
    def test_doing_it_again_changes_nothing(
        self, known: list[Known], rules: Retention, needed: dict[UUID, str]
    ) -> None:
        first = plan(known, rules, NOW, needed)

        assert set(plan(pruned(known, first), rules, NOW, needed)) == set(first)

    @given(trees(), rules, st.sampled_from(fields(Retention)), st.integers(1, 5))
    def test_more_generous_rules_keep_all_of_it_and_maybe_more(
        self, known: list[Known], rules: Retention, field, more: int
    ) -> None:
        before = getattr(rules, field.name)
        generous = replace(rules, **{field.name: None if before is None else before + more})

        assert set(plan(known, rules, NOW, {})) <= set(plan(known, generous, NOW, {}))

    @given(trees(), rules)
    def test_whatever_is_kept_has_a_reason_and_is_there(self, known: list[Known], rules: Retention) -> None:
        reasons = plan(known, rules, NOW, {})

        assert all(reasons.values())
        assert {one.state for one in known if one.id in reasons} <= set(IN_QUESTION)
