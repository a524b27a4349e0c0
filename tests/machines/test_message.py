"""Saying something to an agent: who may, when it is heard, and what is refused."""

import uuid

import pytest

from events.models import Event
from gateway.models import Call
from machines import actions
from machines.actions.message import WAITING_MAX
from machines.models import Machine, Message
from machines.reports import report
from machines.states import VERBS, State
from operations.models import Operation
from projects.errors import Conflict, Invalid


def put_into(machine: Machine, state: State) -> Machine:
    Machine.objects.filter(pk=machine.pk).update(state=state)
    machine.refresh_from_db()
    return machine


@pytest.fixture
def run(machine: Machine) -> str:
    Machine.objects.filter(pk=machine.pk).update(run=uuid.uuid4())
    machine.refresh_from_db()
    return str(machine.run)


class TestSaying:
    @pytest.mark.parametrize("state", list(State))
    def test_it_is_taken_in_the_states_of_the_table(self, machine, alice, state):
        put_into(machine, state)
        if state in VERBS["message"]:
            assert actions.message(machine, "Buzz at 7.", by=alice).state == "pending"
        else:
            with pytest.raises(Conflict, match=f"{machine.handle} is {state.label.lower()}"):
                actions.message(machine, "Buzz at 7.", by=alice)
            assert not Message.objects.exists()

    def test_where_nobody_is_left_it_says_how_to_go_on(self, machine, alice):
        last = actions.checkpoint(machine, by=alice)
        put_into(machine, State.TERMINATED)

        with pytest.raises(Conflict, match=f"autovibe branch {last.handle} "):
            actions.message(machine, "Buzz at 7.", by=alice)

    def test_an_agent_without_a_conversation_hears_nothing(self, spawn, alice):
        script = put_into(spawn(type_name="shell", prompt="sleep 1"), State.RUNNING)

        with pytest.raises(Conflict, match="type shell holds no conversation"):
            actions.message(script, "ls", by=alice)

    def test_a_replay_hears_only_what_was_said_then(self, machine, spawn, alice):
        twin = put_into(spawn(replay=actions.Replay(machine)), State.RUNNING)

        with pytest.raises(Conflict, match="is a replay"):
            actions.message(twin, "Something else", by=alice)

    @pytest.mark.parametrize("text", ["", " \n", "a\x00b", pytest.param("x" * 200_001, id="too long")])
    def test_what_cannot_be_a_prompt_is_refused(self, machine, alice, text):
        with pytest.raises(Invalid):
            actions.message(machine, text, by=alice)

    def test_the_audit_trail_has_it_cut(self, machine, alice):
        actions.message(machine, "x" * 1000, by=alice)

        event = Event.objects.get(kind="machine.message")
        assert (event.actor, len(event.data["text"])) == ("alice", 200)

    def test_so_many_wait_and_no_more(self, machine, alice):
        Message.objects.bulk_create(Message(machine=machine, text="Go.") for _ in range(WAITING_MAX))

        with pytest.raises(Conflict, match=f"{WAITING_MAX} messages wait"):
            actions.message(machine, "One more.", by=alice)


class TestTheEndOfATurn:
    def test_the_agent_is_started_again_where_something_was_said(self, machine, alice, run):
        actions.message(machine, "Buzz at 7.", by=alice)
        report(machine, {"run": run, "ended": {"exit_code": 0}})

        machine.refresh_from_db()
        assert machine.state == State.PAUSING
        assert Operation.objects.filter(verb__in={"message", "terminate"}).get().verb == "message"
        assert machine.present.why == "The end of a turn, before what was said"

    def test_the_machine_ends_where_nothing_was(self, machine, run):
        report(machine, {"run": run, "ended": {"exit_code": 0}})

        machine.refresh_from_db()
        assert machine.state == State.STOPPING

    def test_the_end_of_an_earlier_run_delivers_nothing(self, machine, alice, run):
        actions.message(machine, "Buzz at 7.", by=alice)
        report(machine, {"run": str(uuid.uuid4()), "ended": {"exit_code": 0}})

        machine.refresh_from_db()
        assert machine.state == State.RUNNING
        assert not Operation.objects.filter(verb="message").exists()

    def test_what_comes_while_it_ends_is_refused_and_not_lost(self, machine, alice, run):
        report(machine, {"run": run, "ended": {"exit_code": 0}})

        with pytest.raises(Conflict, match="is stopping"):
            actions.message(machine, "Wait!", by=alice)


class TestNow:
    def test_a_running_agent_is_interrupted_after_a_checkpoint(self, machine, alice):
        actions.message(machine, "Stop that.", by=alice, now=True)

        machine.refresh_from_db()
        operation = Operation.objects.get(verb="message")
        assert (machine.state, machine.present.why) == (State.PAUSING, "Before what alice said")
        assert operation.arguments["checkpoint"] == str(machine.present_id)
        assert operation.requested_by == alice

    @pytest.mark.parametrize("state", [State.CLONING, State.RESUMING, State.RESTORING])
    def test_one_that_is_on_its_way_cannot_be(self, machine, alice, state):
        put_into(machine, state)

        with pytest.raises(Conflict, match="Without “now”"):
            actions.message(machine, "Stop that.", by=alice, now=True)


class TestPaused:
    def test_resuming_starts_the_agent_again_with_what_was_said_meanwhile(self, machine, alice):
        put_into(machine, State.PAUSED)
        said = actions.message(machine, "Buzz at 7.", by=alice)

        assert actions.resume(machine, by=alice).arguments["restart"] is True
        assert "when the machine goes on" in said.told

    def test_what_was_said_before_still_waits_for_the_turn(self, machine, alice):
        actions.message(machine, "Buzz at 7.", by=alice)
        put_into(machine, State.PAUSED)

        assert actions.resume(machine, by=alice).arguments["restart"] is False


class TestOverRest:
    @pytest.mark.parametrize(("who", "status"), [("alice", 202), ("bob", 403), ("charlie", 404)])
    def test_who_may_say_something(self, api, machine, who, status):
        answer = api(who).post(f"/api/v1/machines/{machine.handle}/message/", {"text": "Go."})

        assert answer.status_code == status

    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("charlie", 404)])
    def test_who_may_read_what_was_said(self, api, machine, who, status):
        assert api(who).get(f"/api/v1/machines/{machine.handle}/message/").status_code == status

    def test_it_is_listed_newest_first_and_told_with_the_machine_in_order(self, api, machine):
        for text in ("one", "two"):
            api("alice").post(f"/api/v1/machines/{machine.handle}/message/", {"text": text})

        listed = api("bob").get(f"/api/v1/machines/{machine.handle}/message/").json()["results"]
        told = api("bob").get(f"/api/v1/machines/{machine.handle}/").json()["messages"]
        assert [one["text"] for one in listed] == ["two", "one"]
        assert [(one["text"], one["author"], one["state"]) for one in told] == [
            ("one", "alice", "pending"),
            ("two", "alice", "pending"),
        ]

    def test_of_an_ended_machine_it_says_that_nobody_heard(self, api, machine, alice):
        actions.message(machine, "Go.", by=alice)
        put_into(machine, State.FAILED)

        (told,) = api("bob").get(f"/api/v1/machines/{machine.handle}/").json()["messages"]
        assert told["state"] == "undelivered"
        assert not Call.objects.exists()
