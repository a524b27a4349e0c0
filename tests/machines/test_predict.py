"""What a machine is expected to use, from what the machines before it used, and whether that was true."""

import math
import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from budgets.models import LedgerEntry
from guests.models import Guest
from machines.forecast import predict
from machines.forecast.similarity import sketch
from machines.models import Machine, Prediction
from machines.states import State
from projects import actions as projects
from projects.models import Project, User
from tests.dashboard import rows
from tests.machines.past import Task, task

Past = Callable[..., Machine]


@pytest.fixture
def past(project: Project, genesis: object) -> Past:
    """A machine that has ended, as the ledger has it, whose truth the hub has recorded."""

    def ended(done: Task, *, of: Project = project, **also: object) -> Machine:
        now = timezone.now()
        made = rows.machine(
            of, genesis, State.TERMINATED, prompt=done.prompt, ended_at=now,
            run_started_at=now - timedelta(seconds=done.seconds), **also,
        )  # fmt: skip
        LedgerEntry.objects.create(
            month=now.date().replace(day=1), key=str(made.pk), kind="usage", project=of, machine_id=made.pk,
            windows=[], amounts=[], micros=done.micros, calls=done.calls, input_tokens=done.tokens, created_at=now,
        )  # fmt: skip
        predict.record_truth(made)
        return made

    return ended


@pytest.fixture
def expect(project: Project, alice: User) -> Callable[..., predict.Expectation]:
    def expecting(prompt: str, **also: object) -> predict.Expectation:
        asked = {"project": project, "user": alice, "type_name": "vibe", **also}
        return predict.predict(prompt=prompt, **asked)  # type: ignore[arg-type]

    return expecting


def tasks(number: int, seed: int = 1) -> Iterator[Task]:
    chance = random.Random(seed)
    return (task(chance) for _ in range(number))


class TestExpectation:
    def test_with_four_machines_it_says_that_this_is_not_enough(self, past: Past, expect: Callable) -> None:
        for done in tasks(4):
            past(done)

        expected = expect("Fix the typo in the README")

        assert (expected.neighbours, expected.ranges, expected.suggested_micros) == (4, {}, None)
        assert "needs 5 machines of this type" in expected.sentence

    def test_a_like_prompt_is_expected_to_cost_the_like(self, past: Past, expect: Callable) -> None:
        for number in range(12):
            past(Task(f"Fix the typo in chapter {number}", 40_000 + number * 1_000, 9_000, 3, 60))
            past(
                Task(f"Refactor module {number} completely", 4_000_000 + number * 100_000, 900_000, 80, 3_000)
            )

        small, large = expect("Fix a typo in chapter 40"), expect("Refactor module 40 completely, please")

        assert small.ranges["cost_micros"].middle == pytest.approx(45_000, rel=0.2)
        assert large.ranges["cost_micros"].middle == pytest.approx(4_500_000, rel=0.2)
        assert small.ranges["seconds"].middle == pytest.approx(60, rel=0.1)
        assert large.ranges["calls"].middle == pytest.approx(80, rel=0.1)

    def test_the_suggested_limit_is_a_round_figure_that_would_have_done(
        self, past: Past, expect: Callable
    ) -> None:
        for number in range(20):
            past(Task(f"Write tests for part {number}", 300_000 + number * 10_000, 9_000, 3, 60))

        suggested = expect("Write tests for part 99").suggested_micros

        assert suggested in (500_000, 600_000, 800_000)

    def test_fewer_neighbours_give_a_wider_range(self, past: Past, expect: Callable) -> None:
        widths = []
        for number in range(30):
            past(Task("Write tests", round(300_000 * math.exp((number % 5 - 2) / 2)), 9_000, 3, 60))
            if number in (4, 29):
                cost = expect("Write tests").ranges["cost_micros"]
                widths.append(cost.high / cost.low)

        assert widths[0] > 1.5 * widths[1]

    def test_machines_of_the_same_model_count_more(self, past: Past, expect: Callable) -> None:
        for _ in range(10):
            past(Task("Write tests", 100_000, 9_000, 3, 60), model="small")
            past(Task("Write tests", 900_000, 9_000, 3, 60), model="large")

        middle = {
            model: expect("Write tests", model=model).ranges["cost_micros"].middle
            for model in ("small", "large")
        }

        assert middle["small"] < 200_000
        assert middle["large"] > 600_000

    def test_a_past_without_cost_suggests_no_limit(self, past: Past, expect: Callable) -> None:
        for _ in range(6):
            past(Task("Run make", 0, 0, 0, 30))

        expected = expect("Run make")

        assert expected.ranges["cost_micros"].middle == 0
        assert expected.suggested_micros is None


class TestWhoseMachinesCount:
    def test_of_other_types_and_replays_do_not(self, past: Past, expect: Callable) -> None:
        first = past(Task("Write tests", 100_000, 9_000, 3, 60), type="aider")
        for _ in range(6):
            past(Task("Write tests", 100_000, 9_000, 3, 60), replays=first)

        assert expect("Write tests").neighbours == 0

    def test_of_other_projects_do_where_the_user_may_see_them(
        self, past: Past, expect: Callable, people: dict[str, User]
    ) -> None:
        hers, his = (projects.create(slug=f"of-{name}", by=people[name]) for name in ("alice", "charlie"))
        for _ in range(6):
            past(Task("Write tests", 100_000, 9_000, 3, 60), of=hers)
            past(Task("Write tests", 700_000, 9_000, 3, 60), of=his)

        expected = expect("Write tests")

        assert expected.neighbours == 6
        assert expected.ranges["cost_micros"].high < 200_000


class TestTruth:
    def test_a_spawned_machine_keeps_what_was_expected_and_learns_what_was_true(
        self, past: Past, spawn: Callable[..., Machine]
    ) -> None:
        for _ in range(6):
            past(Task("Write fizzbuzz", 100_000, 9_000, 3, 60))
        machine = spawn()
        now = timezone.now()
        Machine.objects.filter(pk=machine.pk).update(
            state=State.TERMINATED,
            run_started_at=now - timedelta(minutes=7),
            ended_at=now - timedelta(minutes=2),
        )
        rows.call(machine, cost_micros=104_000)
        rows.call(machine, cost_micros=1_000)

        assert predict.tend() == 1

        kept = Prediction.objects.get(machine=machine)
        assert (kept.neighbours, kept.cost_micros[1]) == (6, 100_000)
        assert (kept.used_cost_micros, kept.used_calls, kept.used_seconds) == (105_000, 2, 300)
        assert (
            kept.used_tokens
            == LedgerEntry(input_tokens=900, cached_tokens=4100, output_tokens=400).tokens * 2
        )
        assert predict.calibration().inside["cost_micros"] == 1
        assert predict.tend() == 0

    def test_it_is_recorded_anew_when_the_machine_ran_again(self, past: Past) -> None:
        machine = past(Task("Write fizzbuzz", 100_000, 9_000, 3, 60))
        rows.call(machine, cost_micros=50_000)
        Machine.objects.filter(pk=machine.pk).update(ended_at=timezone.now() + timedelta(hours=1))

        predict.tend(timezone.now() + timedelta(hours=2))

        assert Prediction.objects.get(machine=machine).used_cost_micros == 150_000

    def test_machines_that_never_ran_and_those_that_still_do_tell_nothing(
        self, project: Project, genesis: object
    ) -> None:
        rows.machine(project, genesis)
        rows.machine(project, genesis, State.FAILED, run_started_at=None)

        assert predict.tend(timezone.now() + timedelta(hours=1)) == 0

    def test_calibration_is_of_the_project_that_is_asked_for(
        self, past: Past, expect: Callable, project: Project, alice: User
    ) -> None:
        for done in [Task("Write fizzbuzz", 100_000, 9_000, 3, 60)] * 5:
            past(done)
        expected = expect("Write fizzbuzz")
        for micros, of in (
            (100_000, project),
            (900_000, project),
            (100_000, projects.create(slug="two", by=alice)),
        ):
            machine = past(Task("Write fizzbuzz", micros, 9_000, 3, 60), of=of)
            Prediction.objects.filter(machine=machine).delete()
            predict.remember(machine, expected)
            predict.record_truth(machine)

        found = predict.calibration(project)

        assert (found.n, found.inside["cost_micros"], found.inside["calls"]) == (2, 1, 2)
        assert predict.calibration().n == 3


class TestAccuracy:
    def test_eight_of_ten_ranges_hold_the_truth_and_errors_beat_the_median_of_all(
        self, past: Past, expect: Callable
    ) -> None:
        """Cross-validation: 160 made-up machines are known, and 120 more are predicted."""
        known, unknown = list(tasks(160, seed=7)), list(tasks(120, seed=8))
        for done in known:
            past(done)
        median = sorted(done.micros for done in known)[80]

        inside = over = 0
        error = error_of_median = 0.0
        for done in unknown:
            expected = expect(done.prompt)
            cost = expected.ranges["cost_micros"]
            inside += cost.low <= done.micros <= cost.high
            over += done.micros > (expected.suggested_micros or 0)
            error += abs(math.log(done.micros / cost.middle))
            error_of_median += abs(math.log(done.micros / median))

        assert 0.7 <= inside / 120 <= 0.9
        assert over / 120 <= 0.1
        assert error < 0.65 * error_of_median

    def test_five_thousand_past_machines_are_looked_through_at_once(
        self, past: Past, expect: Callable, project: Project
    ) -> None:
        one = past(next(tasks(1)))
        long = [
            sketch(f"{done.prompt} {done.prompt[::-1]} {number}") for number, done in enumerate(tasks(200))
        ]
        _copy(one, 5_000, long)

        spent = []
        for done in tasks(4, seed=3):
            started = time.process_time()
            expected = expect(done.prompt)
            spent.append(time.process_time() - started)

        assert expected.neighbours == predict.NEIGHBOURS_MAX
        assert min(spent) < 0.1  # about 0.03


def _copy(machine: Machine, number: int, sketches: list[bytes]) -> None:
    """So many more rows like the machine's, with those sketches in turn."""
    chance = random.Random(5)
    guests = Guest.objects.bulk_create(
        Guest(project_id=machine.project_id, vmid=1_000_000 + at, node="embedded") for at in range(number)
    )
    machines = Machine.objects.bulk_create(
        Machine(
            number=1_000_000 + at, project_id=machine.project_id, source_id=machine.source_id, guest=guest,
            type=machine.type, prompt="", wall_seconds=60,
        )
        for at, guest in enumerate(guests)
    )  # fmt: skip
    Prediction.objects.bulk_create(
        Prediction(
            machine=one, sketch=chance.choice(sketches), used_at=timezone.now(), used_cost_micros=1_000,
            used_tokens=1, used_calls=1, used_seconds=1,
        )
        for one in machines
    )  # fmt: skip
