"""A machine as of one of its checkpoints: its log, its books and its files as they were, and what lies around."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from checkpoints.models import Checkpoint
from machines.keeping import moments
from machines.models import LogLine, Machine
from machines.states import State
from projects.errors import Invalid
from tests.budgets.rows import entry
from tests.checkpoints.kept import machine_of, take


@pytest.fixture
def machine(funded, genesis, alice) -> Machine:
    return machine_of(funded, genesis, alice, State.RUNNING)


@pytest.fixture
def lived(machine, project) -> list[Checkpoint]:
    """Three checkpoints a minute apart; before each, the machine printed a line and made a call for 100."""
    run, begin, made = uuid.uuid4(), timezone.now() - timedelta(minutes=3), []
    for number in range(1, 4):
        at = begin + timedelta(minutes=number)
        LogLine.objects.create(
            machine=machine,
            run=run,
            number=number,
            at=at - timedelta(seconds=1),
            stream="out",
            text=f"line {number}",
        )
        call = entry(project, at, 100, machine_id=machine.pk)
        call.save()
        more = {"created_at": at, "ledger_entry": call.pk, "spent_micros": 100 * number}
        made.append(take(machine, {f"f{n}": b"x" for n in range(number)}, **more))
    return made


class TestAt:
    def test_log_books_and_files_are_those_of_then(self, machine, lived):
        found = moments.at(machine, lived[1])

        shown = LogLine.objects.filter(machine=machine, pk__lte=found.log_until)
        assert [line.text for line in shown] == ["line 1", "line 2"]
        assert found.log_at == shown.last().at
        assert (found.calls, found.spent_micros, found.checkpoint.manifest.files) == (2, 200, 2)

    def test_it_knows_what_lies_around(self, machine, lived):
        around = [(found.previous, found.next) for found in (moments.at(machine, one) for one in lived)]

        first, second, third = (one.handle for one in lived)
        assert around == [(None, second), (first, third), (second, None)]

    def test_without_one_it_is_the_present(self, machine, lived, project):
        entry(project, timezone.now(), 50, machine_id=machine.pk).save()

        found = moments.at(machine)

        assert (found.checkpoint, found.previous, found.next) == (None, lived[-1].handle, None)
        assert (found.calls, found.spent_micros) == (4, 350)

    def test_a_machine_that_printed_nothing_has_no_line(self, machine):
        assert (moments.at(machine, take(machine)).log_until, moments.at(machine).log_at) == (0, None)

    def test_what_another_machine_left_is_not_its_past(self, machine, lived, funded, genesis, alice):
        other = machine_of(funded, genesis, alice, State.RUNNING)

        with pytest.raises(Invalid, match=f"not one of {other.handle}'s own"):
            moments.at(other, lived[0])

    def test_it_takes_as_many_queries_for_the_first_as_for_the_last(self, machine, lived):
        counts = []
        for one in (lived[0], lived[-1]):
            with CaptureQueriesContext(connection) as queries:
                moments.at(machine, one)
            counts.append(len(queries))

        assert counts == [3, 3]


class TestOverRest:
    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 404)])
    def test_who_may_see_it(self, api, machine, who, status):
        assert api(who).get(f"/api/v1/machines/{machine.handle}/at/").status_code == status

    def test_the_log_can_be_asked_for_up_to_there(self, api, machine, lived):
        then = api("bob").get(f"/api/v1/machines/{machine.handle}/at/?checkpoint={lived[1].handle}").json()
        log = (
            api("bob").get(f"/api/v1/machines/{machine.handle}/log/?until={then['log_until']}&tail=1").json()
        )

        assert [line["text"] for line in log["lines"]] == ["line 1", "line 2"]
        assert (then["checkpoint"], then["standing"], then["files"], then["currency"]) == (
            lived[1].handle,
            "captured",
            2,
            "USD",
        )

    def test_the_present_has_no_checkpoint(self, api, machine, lived):
        now = api("bob").get(f"/api/v1/machines/{machine.handle}/at/").json()

        assert (now["checkpoint"], now["files"], now["previous"]) == (None, None, lived[-1].handle)
