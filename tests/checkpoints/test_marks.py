"""What people say of checkpoints: pins, names and notes, and who may."""

import pytest

from checkpoints.marks import mark
from checkpoints.models import Checkpoint
from checkpoints.states import State
from events.models import Event
from machines.states import State as MachineState
from projects.errors import Conflict, Invalid
from tests.checkpoints.kept import machine_of, take


@pytest.fixture
def machine(funded, genesis, alice):
    return machine_of(funded, genesis, alice, MachineState.RUNNING)


@pytest.fixture
def checkpoint(machine) -> Checkpoint:
    return take(machine)


class TestMark:
    def test_what_is_not_given_stays(self, checkpoint, alice):
        mark(checkpoint, by=alice, name="before the rewrite", note="It passed all tests.")
        mark(checkpoint, by=alice, pinned=True)

        checkpoint.refresh_from_db()
        assert (checkpoint.pinned, checkpoint.name, checkpoint.note) == (
            True,
            "before the rewrite",
            "It passed all tests.",
        )
        assert checkpoint.milestone

    def test_nothing_takes_a_name_away(self, checkpoint, alice):
        mark(checkpoint, by=alice, name="x")
        mark(checkpoint, by=alice, name="")

        checkpoint.refresh_from_db()
        assert (checkpoint.name, checkpoint.milestone) == ("", False)

    def test_it_is_recorded_who_said_so_and_only_when_it_is_news(self, checkpoint, alice):
        mark(checkpoint, by=alice, pinned=True, name="x")
        mark(checkpoint, by=alice, pinned=True)

        event = Event.objects.get(kind="checkpoint.marked")
        assert (event.actor, event.subject) == ("alice", checkpoint.subject)
        before = {"pinned": False, "name": ""}
        assert event.data == {"handle": checkpoint.handle, "before": before, "pinned": True, "name": "x"}


class TestName:
    def test_two_of_a_project_do_not_share_one(self, checkpoint, machine, alice):
        mark(checkpoint, by=alice, name="Golden")

        with pytest.raises(Conflict, match=f"{checkpoint.handle} has the name 'Golden' already"):
            mark(take(machine), by=alice, name="golden")

    def test_it_may_be_given_again_to_the_one_that_has_it(self, checkpoint, alice):
        mark(checkpoint, by=alice, name="golden")
        mark(checkpoint, by=alice, name=" Golden ")

        checkpoint.refresh_from_db()
        assert checkpoint.name == "Golden"

    def test_others_without_a_name_are_no_obstacle(self, checkpoint, machine, alice):
        take(machine)

        mark(checkpoint, by=alice, name="")

    @pytest.mark.parametrize(
        ("name", "why"),
        [("x" * 101, "at most 100"), ("a\nb", "one line"), ("m12.c3", "looks like the handle")],
    )
    def test_what_cannot_be_a_name_is_refused(self, checkpoint, alice, name, why):
        with pytest.raises(Invalid, match=why):
            mark(checkpoint, by=alice, name=name)


class TestPin:
    @pytest.mark.parametrize("state", [State.PRUNING, State.PRUNED])
    def test_what_is_gone_cannot_be_kept(self, checkpoint, alice, state):
        Checkpoint.objects.filter(pk=checkpoint.pk).update(state=state)

        with pytest.raises(Conflict, match="was pruned"):
            mark(checkpoint, by=alice, pinned=True)

    def test_it_can_be_taken_away(self, checkpoint, alice):
        mark(checkpoint, by=alice, pinned=True)
        mark(checkpoint, by=alice, pinned=False)

        checkpoint.refresh_from_db()
        assert not checkpoint.pinned


class TestOverRest:
    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 403), ("charlie", 404)])
    def test_who_may(self, api, checkpoint, who, status):
        answer = api(who).patch(f"/api/v1/checkpoints/{checkpoint.handle}/", {"pinned": True})

        checkpoint.refresh_from_db()
        assert (answer.status_code, checkpoint.pinned) == (status, status == 200)

    def test_the_answer_is_the_checkpoint_as_it_is_now(self, api, checkpoint):
        answer = api("alice").patch(
            f"/api/v1/checkpoints/{checkpoint.handle}/", {"name": "golden", "note": "a\nb"}
        )

        told = answer.json()
        assert (told["name"], told["note"], told["pinned"], told["standing"]) == (
            "golden",
            "a\nb",
            False,
            "captured",
        )

    def test_a_name_too_long_is_a_problem(self, api, checkpoint):
        answer = api("alice").patch(f"/api/v1/checkpoints/{checkpoint.handle}/", {"name": "x" * 101})

        assert (answer.status_code, "at most 100" in answer.json()["detail"]) == (400, True)
