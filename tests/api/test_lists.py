"""Lists: their filters, who sees what, and that they take few queries however long they are."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from checkpoints.models import Checkpoint
from machines.models import Machine
from operations import actions as operations
from operations.models import Operation, Status
from projects.errors import Conflict
from projects.models import ApiToken, Project, User
from tests.dashboard import rows

Api = Callable[[str], APIClient]
QUERIES_MAX = 6


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [one["handle"] for one in response.json()["results"]]


class TestMachines:
    @pytest.fixture
    def machines(self, project: Project, genesis: Checkpoint, alice: User) -> list[Machine]:
        kinds = [
            {"state": "running", "prompt": "Write a fizzbuzz", "created_by": alice},
            {"state": "paused", "prompt": "Mend the roof", "type": "shell"},
            {"state": "terminated", "prompt": "Write a poem"},
        ]
        made = [rows.machine(project, genesis, **kind) for kind in kinds]
        Machine.objects.filter(pk=made[0].pk).update(created_at=timezone.now() - timedelta(days=2))
        return made

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ("", [2, 1, 0]),
            ("state=running,paused", [1, 0]),
            ("type=shell", [1]),
            ("q=write", [2, 0]),
            ("created_by=alice", [0]),
            ("source=demo.c0", [2, 1, 0]),
            ("source=m99.c1", []),
            ("project=demo&state=terminated", [2]),
            ("project=shop", []),
        ],
    )
    def test_filters(self, api: Api, machines: list[Machine], asked: str, expected: list[int]) -> None:
        found = ids(api("alice").get(f"/api/v1/machines/?{asked}"))
        assert found == [machines[at].handle for at in expected]

    def test_when_they_were_created(self, api: Api, machines: list[Machine]) -> None:
        day = {"since": (timezone.now() - timedelta(days=1)).isoformat()}
        assert ids(api("alice").get("/api/v1/machines/", day)) == [one.handle for one in machines[:0:-1]]
        assert ids(api("alice").get("/api/v1/machines/", {"until": day["since"]})) == [machines[0].handle]

    def test_one_is_found_by_its_handle(self, api: Api, machines: list[Machine]) -> None:
        assert ids(api("alice").get(f"/api/v1/machines/?q={machines[1].handle}")) == [machines[1].handle]

    def test_a_state_that_there_is_not_is_refused(self, api: Api, machines: list[Machine]) -> None:
        response = api("alice").get("/api/v1/machines/?state=runing")
        assert (response.status_code, "running" in response.json()["detail"]) == (400, True)

    def test_counts_by_state_with_the_same_filters(self, api: Api, machines: list[Machine]) -> None:
        counts = api("alice").get("/api/v1/machines/counts/?q=write").json()
        assert (counts["total"], counts["states"]["running"], counts["states"]["paused"]) == (2, 1, 0)

    def test_outsiders_see_and_count_none(self, api: Api, machines: list[Machine]) -> None:
        assert ids(api("charlie").get("/api/v1/machines/")) == []
        assert api("charlie").get("/api/v1/machines/counts/").json()["total"] == 0

    def test_pages_follow_one_another(self, api: Api, machines: list[Machine]) -> None:
        first = api("alice").get("/api/v1/machines/?page_size=2")
        assert ids(first) + ids(api("alice").get(first.json()["next"])) == [
            one.handle for one in machines[::-1]
        ]

    def test_fifty_among_many_take_few_queries(
        self, project: Project, genesis: Checkpoint, alice: User
    ) -> None:
        for _ in range(60):
            made = rows.machine(project, genesis, created_by=alice)
            rows.checkpoint(made)
            rows.call(made)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiToken.mint(alice, 'one')[1]}")
        client.get("/api/v1/machines/")  # the first use of a token is written down
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert len(ids(client.get("/api/v1/machines/"))) == 50
        assert len(asked) <= QUERIES_MAX, "\n".join(one["sql"][:200] for one in asked)


class TestCheckpoints:
    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ("kind=manual", ["m.c2"]),
            ("milestone=true", ["m.c2"]),
            ("pinned=true", ["m.c1"]),
            ("pinned=false&machine={m}", ["m.c2"]),
            ("state=broken", []),
            ("project=demo&kind=automatic", ["m.c1"]),
        ],
    )
    def test_filters(
        self, api: Api, project: Project, genesis: Checkpoint, asked: str, expected: list[str]
    ) -> None:
        made = rows.machine(project, genesis)
        rows.checkpoint(made, pinned=True)
        rows.checkpoint(made, kind=Checkpoint.Kind.MANUAL)
        found = ids(api("bob").get(f"/api/v1/checkpoints/?{asked.format(m=made.handle)}"))
        assert found == [one.replace("m", made.handle, 1) for one in expected]

    def test_a_manifest_has_the_figures_to_compare_by(
        self, api: Api, project: Project, genesis: Checkpoint
    ) -> None:
        left = rows.checkpoint(rows.machine(project, genesis), {"a.txt": "hello"})
        manifest = api("bob").get(f"/api/v1/checkpoints/{left.handle}/manifest/").json()
        assert (manifest["files"], manifest["bytes"], manifest["list_digest"]) == (1, 5, left.manifest_id)

    def test_outsiders_find_none(self, api: Api, genesis: Checkpoint) -> None:
        assert api("charlie").get(f"/api/v1/checkpoints/{genesis.handle}/manifest/").status_code == 404


class TestOperations:
    @pytest.fixture
    def machine(self, project: Project, genesis: Checkpoint, alice: User) -> Machine:
        return rows.machine(project, genesis, created_by=alice)

    def begin(self, machine: Machine, verb: str = "pause", **also: Any) -> Operation:
        return Operation.objects.create(
            verb=verb, subject=machine.subject, project=machine.project, lock=machine.guest.subject,
            task=f"machines.tasks.{verb}", **also,
        )  # fmt: skip

    def test_filters(self, api: Api, machine: Machine) -> None:
        pause, spawn = self.begin(machine), self.begin(machine, "spawn", status=Status.FAILED)
        for asked, expected in [
            ("", [spawn, pause]),
            ("verb=pause", [pause]),
            ("status=failed", [spawn]),
            (f"subject={machine.subject}", [spawn, pause]),
            ("project=shop", []),
        ]:
            found = api("bob").get(f"/api/v1/operations/?{asked}").json()["results"]
            assert [one["id"] for one in found] == [str(one.pk) for one in expected], asked

    def test_outsiders_see_none(self, api: Api, machine: Machine) -> None:
        self.begin(machine)
        assert api("charlie").get("/api/v1/operations/").json()["results"] == []

    def test_one_that_no_worker_has_begun_can_be_cancelled(self, api: Api, machine: Machine) -> None:
        one = self.begin(machine)
        assert api("alice").post(f"/api/v1/operations/{one.pk}/cancel/").status_code == 202
        one.refresh_from_db()
        assert one.given_up_by == "alice"

    def test_a_worker_that_was_about_to_begin_it_leaves_it_alone(self, machine: Machine, alice: User) -> None:
        one = self.begin(machine)
        stale = Operation.objects.get(pk=one.pk)
        operations.cancel(one, by=alice)
        assert not stale.move(Status.RUNNING, expect=(Status.QUEUED,), claims=stale.claims + 1)

    def test_one_that_has_begun_cannot(self, api: Api, machine: Machine) -> None:
        one = self.begin(machine, status=Status.RUNNING, started_at=timezone.now())
        response = api("alice").post(f"/api/v1/operations/{one.pk}/cancel/")
        assert (response.status_code, response.json()["state"]) == (409, "running")

    def test_one_that_has_ended_cannot(self, machine: Machine, alice: User) -> None:
        with pytest.raises(Conflict):
            operations.cancel(self.begin(machine, status=Status.SUCCEEDED), by=alice)

    def test_who_may_only_look_may_not(self, api: Api, machine: Machine) -> None:
        one = self.begin(machine)
        assert api("bob").post(f"/api/v1/operations/{one.pk}/cancel/").status_code == 403
        assert api("charlie").post(f"/api/v1/operations/{one.pk}/cancel/").status_code == 404
