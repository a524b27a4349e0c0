"""Which policy holds for a machine, who may change it, and checkpoints with the guest's memory."""

import uuid
from typing import Any

import pytest

from checkpoints import work
from checkpoints.models import Checkpoint, Rules
from checkpoints.states import State as CheckpointState
from checkpoints.triggers.policy import EVERY_CALL, NONE
from events.models import Event
from machines import actions
from machines.keeping import memory, policies
from machines.models import Machine
from machines.states import State
from projects.errors import Conflict, Invalid

RULES = "/api/v1/projects/demo/checkpoint-rules/"


@pytest.fixture
def proxmox(settings: Any) -> None:
    """The settings name a Proxmox VE."""
    settings.PROXMOX_URL = "https://pve1.example:8006"


class TestPolicyOf:
    def test_it_is_the_types(self, machine):
        assert policies.policy_of(machine) == EVERY_CALL

    def test_the_project_departs_from_it_and_the_machine_from_both(self, machine):
        Rules.objects.create(project=machine.project, policy={"calls": 5, "minutes": 10})
        machine.checkpoints = {"calls": 7}
        found = policies.policy_of(machine)
        assert (found.calls, found.minutes, found.before) == (7, 10, EVERY_CALL.before)

    def test_what_cannot_be_understood_any_more_is_left_out(self, machine, caplog):
        machine.checkpoints = {"before": ["("]}
        assert policies.policy_of(machine) == EVERY_CALL
        assert "neither one of" in caplog.text

    def test_nothing_said_costs_no_query(self, machine, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert policies.effective("shell", {}) == NONE

    def test_one_that_skips_nothing_has_every_checkpoint_take_its_own_snapshot(self, machine):
        Machine.objects.filter(pk=machine.pk).update(checkpoints={"skip": False})
        machine.refresh_from_db()
        actions.checkpoint_before_call(machine, 1, uuid.uuid4())
        assert Checkpoint.objects.get(origin=machine.subject).may_share is False


class TestSpawning:
    def test_a_machine_may_depart_from_its_type(self, spawn):
        assert spawn(departures={"calls": 3}).checkpoints == {"calls": 3}

    def test_a_mistake_is_refused(self, spawn):
        with pytest.raises(Invalid, match="calls is 'x'; expected a whole number"):
            spawn(departures={"calls": "x"})

    def test_a_branch_keeps_its_parents_unless_it_says_otherwise(self, machine, spawn, alice):
        Machine.objects.filter(pk=machine.pk).update(checkpoints={"calls": 3})
        target = actions.checkpoint(machine, by=alice)
        target.move(CheckpointState.CAPTURED)
        assert spawn(source=target).checkpoints == {"calls": 3}
        assert spawn(source=target, departures={}).checkpoints == {}

    def test_over_rest(self, api, funded, genesis):
        asked = {"project": "demo", "type": "vibe", "prompt": "x", "checkpoints": {"calls": 4}}
        answer = api("alice").post("/api/v1/machines/", asked, format="json")
        assert answer.status_code == 202
        assert answer.json()["checkpoints"] == {"calls": 4}
        assert answer.json()["policy"] == "every 4 calls, before risky tools"

    def test_over_rest_a_mistake_is_refused(self, api, funded, genesis):
        asked = {"project": "demo", "type": "vibe", "prompt": "x", "checkpoints": {"cals": 4}}
        answer = api("alice").post("/api/v1/machines/", asked, format="json")
        assert answer.status_code == 400
        assert "The key 'cals' is not known" in answer.json()["detail"]


class TestRulesOverRest:
    @pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 403), ("charlie", 404)])
    def test_who_may_set_them(self, api, project, who, status):
        assert api(who).put(RULES, {"policy": {"calls": 5}}, format="json").status_code == status
        assert Rules.objects.filter(project=project).exists() == (status == 200)

    @pytest.mark.parametrize(("who", "status"), [("bob", 200), ("charlie", 404)])
    def test_who_may_see_them(self, api, project, who, status):
        assert api(who).get(RULES).status_code == status

    def test_what_holds_is_told_by_type(self, api, project):
        answer = api("alice").put(RULES, {"policy": {"minutes": 10}}, format="json").json()
        effective = {one["type"]: one["summary"] for one in answer["effective"]}
        assert answer["policy"] == {"minutes": 10}
        assert effective["vibe"] == "every call, every 10 minutes"
        assert effective["shell"] == "every 10 minutes"
        assert Event.objects.get(kind="checkpoint_policy.set").data["policy"] == {"minutes": 10}

    def test_a_short_form_will_do(self, api, project):
        answer = api("alice").put(RULES, {"policy": "none"}, format="json").json()
        assert {one["summary"] for one in answer["effective"]} == {"none"}

    def test_retention_is_passed_through(self, api, project):
        answer = api("alice").put(RULES, {"retention": {"daily": 7}}, format="json").json()
        assert (answer["policy"], answer["retention"]) == ({}, {"daily": 7})

    @pytest.mark.parametrize(
        ("asked", "complaint"),
        [
            ({"policy": {"cals": 1}}, "The key 'cals' is not known"),
            ({"policy": {"before": ["("]}}, "'(' is neither one of"),
            ({"policy": {"calls": 5}, "retention": {"dayly": 7}}, "'dayly'"),
        ],
    )
    def test_a_mistake_changes_nothing(self, api, project, asked, complaint):
        answer = api("alice").put(RULES, asked, format="json")
        assert answer.status_code == 400
        assert complaint in answer.json()["detail"]
        assert not Rules.objects.filter(project=project).exists()


class TestMemory:
    def test_its_price_is_told_before(self, api, machine, proxmox):
        told = api("bob").get(f"/api/v1/machines/{machine.handle}/checkpoint/").json()
        assert told["policy"] == "every call"
        assert told["ram"]["possible"]
        assert told["ram"]["bytes"] == (2 * 2048 + 500) * 1024**2
        assert "Only this machine can return to the memory" in told["ram"]["sentence"]

    def test_one_with_it_is_marked_so(self, api, machine, proxmox):
        answer = api("alice").post(
            f"/api/v1/machines/{machine.handle}/checkpoint/", {"ram": True}, format="json"
        )
        assert answer.status_code == 202
        assert Checkpoint.objects.get(handle=answer.json()["handle"]).ram

    def test_by_default_there_is_none_unless_the_policy_has_it(self, machine, alice, proxmox):
        assert not actions.checkpoint(machine, by=alice).ram
        Machine.objects.filter(pk=machine.pk).update(checkpoints={"ram": True})
        machine.refresh_from_db()
        assert actions.checkpoint(machine, by=alice).ram
        assert not actions.checkpoint(machine, by=alice, ram=False).ram

    def test_only_those_that_are_asked_for_have_it(self, machine, proxmox):
        Machine.objects.filter(pk=machine.pk).update(checkpoints={"ram": True})
        machine.refresh_from_db()
        taken = actions.checkpoint_before_call(machine, 1, uuid.uuid4())
        assert not Checkpoint.objects.get(pk=taken).ram

    def test_of_the_embedded_node_it_is_refused_before_anything_is_begun(self, api, machine):
        address = f"/api/v1/machines/{machine.handle}/checkpoint/"
        assert api("bob").get(address).json()["ram"] == {
            "possible": False,
            "bytes": 0,
            "sentence": memory.EMBEDDED,
        }
        answer = api("alice").post(address, {"ram": True}, format="json")
        assert (answer.status_code, answer.json()["detail"]) == (409, memory.EMBEDDED)
        assert not Checkpoint.objects.filter(origin=machine.subject).exists()

    def test_of_a_paused_machine_it_is_refused(self, machine, alice, proxmox):
        Machine.objects.filter(pk=machine.pk).update(state=State.PAUSED)
        machine.refresh_from_db()
        with pytest.raises(Conflict, match="is paused; only of a running one"):
            actions.checkpoint(machine, by=alice, ram=True)

    def test_where_the_storage_refuses_it_the_checkpoint_says_what_to_do(self, machine, alice, proxmox):
        taken = actions.checkpoint(machine, by=alice, ram=True)
        work.broken(work.Taking(taken), "Cannot snapshot (with RAM) a VM with virtiofs.")
        taken.refresh_from_db()
        assert taken.error == "Cannot snapshot (with RAM) a VM with virtiofs. Take it without the memory."
