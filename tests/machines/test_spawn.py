"""Spawning, through the action and over REST. The way to the end, in real processes, is in tests/e2e."""

import base64
import uuid

import pytest
from django_q.models import OrmQ

from budgets import actions as budgets
from budgets.errors import Exhausted
from budgets.models import Budget
from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from events.models import Event
from guests.models import Guest
from machines import actions
from machines.models import Machine, MachineFile
from machines.states import State
from operations.models import Operation
from projects.errors import Conflict, Invalid


class TestSpawn:
    def test_it_writes_machine_guest_operation_event_and_task_together(self, spawn):
        machine = spawn()

        assert machine.state == State.REQUESTED
        assert machine.guest.vmid >= 10_000
        assert Operation.objects.get().subject == machine.subject
        assert Event.objects.filter(subject=machine.subject).get().kind == "machine.requested"
        assert OrmQ.objects.count() == 1

    def test_numbers_are_never_used_twice(self, spawn):
        first, second = spawn(), spawn()

        assert (second.number, second.guest.vmid) == (first.number + 1, first.guest.vmid + 1)

    def test_the_same_key_gives_the_same_machine(self, spawn):
        assert spawn(idempotency_key="k1") == spawn(idempotency_key="k1")
        assert Machine.objects.count() == Guest.objects.filter(template=False).count() == 1

    def test_a_branch_from_a_machines_checkpoint_goes_on_with_its_conversation(self, spawn, machine):
        left = Checkpoint.objects.get(pk=actions.checkpoint_before_call(machine, 2, uuid.uuid4()))
        left.move(CheckpointState.CAPTURED)

        branch = spawn(source=left, prompt="Now make it buzz at 7")

        assert branch.continues
        assert branch.source == left

    def test_a_branch_without_a_prompt_just_goes_on(self, spawn, machine):
        left = Checkpoint.objects.get(pk=actions.checkpoint_before_call(machine, 2, uuid.uuid4()))
        left.move(CheckpointState.CAPTURED)

        branch = spawn(source=left, prompt="")

        assert (branch.continues, branch.prompt) == (True, "")
        assert branch.title == f"Goes on from {left.handle}"

    @pytest.mark.parametrize("more", [{}, {"type_name": "aider"}])
    def test_without_a_prompt_there_has_to_be_a_conversation_that_its_agent_can_go_on_with(
        self, spawn, machine, more
    ):
        number = 2 if more else 1
        left = Checkpoint.objects.get(pk=actions.checkpoint_before_call(machine, number, uuid.uuid4()))
        left.move(CheckpointState.CAPTURED)

        with pytest.raises(Invalid, match="holds no conversation"):
            spawn(source=left, prompt=" ", **more)

    def test_a_branch_from_before_the_first_call_begins_a_conversation_of_its_own(self, spawn, machine):
        left = Checkpoint.objects.get(pk=actions.checkpoint_before_call(machine, 1, uuid.uuid4()))
        left.move(CheckpointState.CAPTURED)

        assert not spawn(source=left).continues

    def test_a_branch_with_another_type_starts_a_new_conversation(self, spawn, machine, alice):
        left = actions.checkpoint(machine, by=alice)
        left.move(CheckpointState.CAPTURED)

        assert not spawn(source=left, type_name="shell").continues

    def test_a_limit_of_its_own_becomes_a_budget(self, spawn):
        machine = spawn(limits={"money": 500_000, "calls": 3})

        own = Budget.objects.filter(holder=f"machine:{machine.id}").order_by("resource")
        assert [(budget.resource, budget.limit) for budget in own] == [("calls", 3), ("money", 500_000)]


class TestRefusedSpawn:
    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, genesis):
        yield
        assert not Machine.objects.exists()
        assert not Operation.objects.exists()
        assert not Guest.objects.filter(template=False).exists()

    @pytest.mark.parametrize("prompt", ["", "  \n ", "a\x00b"])
    def test_a_prompt_that_says_nothing_is_refused(self, spawn, prompt):
        with pytest.raises(Invalid, match="prompt"):
            spawn(prompt=prompt)

    def test_an_unknown_type_is_refused_with_the_known_ones(self, spawn):
        with pytest.raises(Invalid, match=r"no machine type 'robot'.*vibe"):
            spawn(type_name="robot")

    def test_a_broken_checkpoint_is_refused_with_its_reason(self, spawn, genesis):
        genesis.move(CheckpointState.BROKEN, error="The storage was full.")

        with pytest.raises(Conflict, match="is broken: The storage was full"):
            spawn()

    def test_a_limit_of_nothing_is_refused(self, spawn):
        with pytest.raises(Invalid, match="A limit of 0 calls lets the machine make no call"):
            spawn(limits={"calls": 0})

    def test_a_project_without_money_is_refused(self, project, genesis, alice):
        with pytest.raises(Exhausted, match="budget set demo money"):
            actions.spawn(project=project, source=genesis, type_name="vibe", prompt="x", by=alice)

    def test_a_project_whose_limit_is_zero_is_refused(self, project, genesis, alice):
        budgets.set_limit(project, resource="money", limit=0, by=alice)

        with pytest.raises(Exhausted):
            actions.spawn(project=project, source=genesis, type_name="vibe", prompt="x", by=alice)


ASKED = {"project": "demo", "type": "vibe", "prompt": "Write fizzbuzz"}


class TestSpawnOverRest:
    @pytest.mark.parametrize(("who", "status"), [("alice", 202), ("bob", 403), ("charlie", 404)])
    def test_who_may(self, api, funded, genesis, who, status):
        assert api(who).post("/api/v1/machines/", ASKED).status_code == status

    def test_it_answers_with_the_machine_to_watch(self, api, funded, genesis):
        body = api("alice").post("/api/v1/machines/", ASKED).json()

        assert body["state"] == "requested"
        assert body["source"] == "demo.c0"
        assert body["handle"] == f"m{Machine.objects.get().number}"

    def test_an_idempotency_key_makes_a_repeated_request_harmless(self, api, funded, genesis):
        answers = [
            api("alice").post("/api/v1/machines/", ASKED, headers={"Idempotency-Key": "abc"}).json()
            for _ in range(2)
        ]

        assert answers[0]["handle"] == answers[1]["handle"]

    def test_files_arrive_whatever_bytes_they_hold(self, api, funded, genesis):
        raw = bytes(range(256))
        files = [
            {"path": "src/a.bin", "content_base64": base64.b64encode(raw).decode(), "mode": "0755"},
            {"path": "old.txt", "delete": True},
        ]

        assert api("alice").post("/api/v1/machines/", {**ASKED, "files": files}).status_code == 202

        written, removed = MachineFile.objects.order_by("-path")
        assert (bytes(written.content), written.mode, removed.removes) == (raw, 0o755, True)

    @pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", ".", "a\x00b"])
    def test_a_file_that_leaves_the_workspace_is_refused(self, api, funded, genesis, path):
        files = [{"path": path, "content": "x"}]

        response = api("alice").post("/api/v1/machines/", {**ASKED, "files": files})

        assert response.status_code == 400
        assert not Machine.objects.exists()

    def test_a_file_that_is_too_large_is_refused_with_the_limit(self, api, funded, genesis):
        files = [{"path": "big", "content": "x" * (10 * 1024**2 + 1)}]

        response = api("alice").post("/api/v1/machines/", {**ASKED, "files": files})

        assert response.status_code == 400
        assert "10,485,760 is the most for a file" in response.json()["detail"]

    def test_a_refusal_is_a_problem_with_a_sentence_and_a_request_id(self, api, funded, genesis):
        response = api("alice").post("/api/v1/machines/", {**ASKED, "type": "robot"})

        problem = response.json()
        assert response["Content-Type"] == "application/problem+json"
        assert (problem["status"], problem["type"]) == (400, "urn:autovibe:invalid")
        assert problem["request_id"] == response["X-Request-Id"]

    def test_no_money_is_402(self, api, project, genesis):
        assert api("alice").post("/api/v1/machines/", ASKED).status_code == 402

    def test_an_unknown_project_names_those_there_are(self, api, project):
        response = api("alice").post("/api/v1/machines/", {**ASKED, "project": "nope"})

        assert response.status_code == 404
        assert "Yours: demo" in response.json()["detail"]


class TestBranchOverRest:
    def test_a_genesis_needs_a_type(self, api, funded, genesis):
        response = api("alice").post("/api/v1/checkpoints/demo.c0/branch/", {"prompt": "x"})

        assert (response.status_code, "machine-types" in response.json()["detail"]) == (400, True)

    def test_a_checkpoint_still_being_taken_cannot_be_branched(self, api, machine, alice):
        left = actions.checkpoint(machine, by=alice)

        response = api("alice").post(f"/api/v1/checkpoints/{left.handle}/branch/", {"prompt": "x"})

        assert response.status_code == 409
        assert Checkpoint.objects.filter(pk=left.pk).exists()


class TestList:
    def test_a_cursor_that_nobody_was_given_is_said_so(self, api, funded):
        cursor = base64.b64encode(b"p=foo").decode()

        assert api("alice").get("/api/v1/machines/", {"cursor": cursor}).status_code == 404

    def test_it_asks_the_database_as_often_for_many_machines_as_for_one(
        self, api, spawn, django_assert_max_num_queries
    ):
        for _ in range(8):
            spawn()

        with django_assert_max_num_queries(6):
            assert len(api("alice").get("/api/v1/machines/").json()["results"]) == 8

    def test_outsiders_see_an_empty_list(self, api, spawn):
        spawn()

        assert api("charlie").get("/api/v1/machines/").json()["results"] == []
