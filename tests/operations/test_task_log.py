"""What stays of an operation's way: its steps, and what Proxmox's tasks came to, with the logs of those that failed."""

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import transaction
from django.utils import timezone

from operations import actions, engine, trail, usual
from operations.engine import Plan, Step
from operations.models import Operation, Status
from projects.models import Project, User
from proxmox import connect
from tests.proxmox.recorder import form
from tests.proxmox.scripted import Answer, Asked, Server, scripted

UPID = "UPID:embedded:00000001:00000002:65000000:qmclone:9000:autovibe@pve!local:"
LOG = ["create full clone of drive scsi0", "no space left on device", "TASK ERROR: clone failed"]
STEPS = (
    Step("clone", "Cloning", lambda context: UPID),
    Step("start", "Starting the VM", lambda context: None),
)
PLAN: Plan[None] = Plan(
    load=lambda operation: None,
    steps=STEPS,
    succeed=lambda context: None,
    fail=lambda context, sentence: None,
)


@pytest.fixture
def proxmox(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that knows the log of one task."""

    def page(asked: Asked) -> Answer:
        where = urlsplit(asked.path)
        start = int(form(where.query).get("start", ["0"])[0])
        rows = [{"n": number, "t": text} for number, text in enumerate(LOG, 1)][start:]
        known = where.path.endswith("/log")
        return Answer(body=json.dumps({"data": rows if known else []}))

    serving: AbstractContextManager[Server] = scripted(page)
    with serving as server:
        settings.PROXMOX_URL, settings.PROXMOX_TOKEN = server.url, "a@pve!b=c"
        monkeypatch.setattr(connect, "_local", threading.local())
        yield server


@pytest.fixture
def operation(project: Project, alice: User) -> Operation:
    """It waits for its first task."""
    with transaction.atomic():
        begun = actions.begin(
            "spawn", subject="test:1", project=project, lock="guest:1", task="x.y", by=alice
        )
    engine.perform(str(begun.id), PLAN)
    begun.refresh_from_db()
    return begun


def ended(operation: Operation, result: str) -> Operation:
    """The watcher has seen the end of the task, and a worker goes on."""
    actions.resume(operation, task_result=result)
    engine.perform(str(operation.id), PLAN)
    operation.refresh_from_db()
    return operation


class TestTheTrail:
    def test_it_tells_the_steps_in_their_order_each_until_the_next(self, operation: Operation) -> None:
        done = ended(operation, "OK")

        clone, start = trail.passages(done)

        assert (clone.step, start.step) == ("clone", "start")
        assert clone.began_at < clone.ended_at == start.began_at
        assert start.ended_at == done.finished_at

    def test_a_task_that_is_under_way_is_told_with_its_step(self, operation: Operation) -> None:
        (clone,) = trail.passages(operation)

        assert clone.ended_at is None
        assert clone.tasks == [trail.Task(UPID, "", "")]

    def test_a_task_that_ended_well_leaves_its_result_and_no_log(
        self, operation: Operation, proxmox: Server
    ) -> None:
        done = ended(operation, "OK")

        assert done.status == Status.SUCCEEDED
        assert trail.passages(done)[0].tasks == [trail.Task(UPID, "OK", "")]
        assert proxmox.asked == []

    @pytest.mark.parametrize(
        ("result", "status"), [("clone failed", Status.FAILED), ("WARNINGS: 1", Status.SUCCEEDED)]
    )
    def test_the_log_of_any_other_is_kept(
        self, operation: Operation, proxmox: Server, result: str, status: str
    ) -> None:
        done = ended(operation, result)

        assert done.status == status
        assert trail.passages(done)[0].tasks == [trail.Task(UPID, result, "\n".join(LOG))]

    def test_a_proxmox_that_does_not_answer_keeps_nobody_from_failing(
        self, operation: Operation, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.PROXMOX_URL = "http://127.0.0.1:9"
        monkeypatch.setattr(connect, "_local", threading.local())

        done = ended(operation, "clone failed")

        assert done.status == Status.FAILED
        assert trail.passages(done)[0].tasks == [trail.Task(UPID, "clone failed", "")]

    def test_an_operation_from_before_trails_were_kept_ends_like_any_other(
        self, operation: Operation
    ) -> None:
        Operation.objects.filter(pk=operation.pk).update(trail=[])
        operation.refresh_from_db()

        done = ended(operation, "OK")

        assert done.status == Status.SUCCEEDED
        assert [passage.step for passage in trail.passages(done)] == ["start"]


class TestWhatIsUsual:
    def ran(self, project: Project, verb: str, *seconds: float, status: str = Status.SUCCEEDED) -> None:
        now = timezone.now()
        for number, lasted in enumerate(seconds):
            end = now - timedelta(minutes=number)
            Operation.objects.create(
                verb=verb, subject="test:1", project=project, lock=f"x:{verb}{number}", task="x.y",
                status=status, started_at=end - timedelta(seconds=lasted), finished_at=end,
            )  # fmt: skip

    def test_it_is_the_median_of_the_last_runs_that_went_well(self, project: Project) -> None:
        self.ran(project, "spawn", 4, 5, 6, 7, 600)
        self.ran(project, "spawn", 9000, status=Status.FAILED)

        assert usual.seconds(["spawn", "pause"]) == {"spawn": pytest.approx(6)}

    def test_of_a_few_runs_nobody_can_say(self, project: Project) -> None:
        self.ran(project, "spawn", 4, 5, 6, 7)

        assert usual.seconds(["spawn"]) == {}
