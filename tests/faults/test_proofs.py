"""Proofs and exports while workers die at each request: no scratch guest is left, nothing is claimed unproven."""

from collections.abc import Callable
from typing import Any

import pytest

from checkpoints.models import Checkpoint, Verification
from checkpoints.states import Depth, State, Verdict
from guests.models import Guest
from guests.states import State as GuestState
from machines import actions
from machines.models import Machine
from proxmox.connect import driver
from tests.faults.conftest import Scene
from tests.faults.worker import Death

pytestmark = pytest.mark.e2e

VERIFYING = (
    "GET */snapshot",
    "POST */clone",
    "PUT */config",
    "POST */status/start",
    "POST */agent/exec",
    "POST */agent/file-write",
    "GET */agent/file-read",
    "POST */status/stop",
    "DELETE */qemu/*",
)
EXPORTING = (
    "GET /access/permissions",
    "POST */clone",
    "PUT */config",
    "POST */vzdump",
    "GET */content",
    "DELETE */qemu/*",
)
MOMENTS = ("before", "after")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every other request, with one of the two moments in turn; `--whole`: every one, with both."""
    requests = VERIFYING if "Verify" in str(metafunc.cls) else EXPORTING
    whole = metafunc.config.getoption("--whole")
    deaths = [
        Death(moment, request)
        for number, request in enumerate(requests)
        for turn, moment in enumerate(MOMENTS)
        if whole or (number % 2 == 0 and turn == number // 2 % 2)
    ]
    ids = [f"{one.moment} {one.request}".replace(" ", "_") for one in deaths]
    metafunc.parametrize("death", deaths, ids=ids)


@pytest.fixture
def checkpoint(scene: Callable[[str], Scene]) -> tuple[Scene, Checkpoint]:
    at = scene("lvmthin")
    checkpoint = actions.checkpoint(at.running(), by=at.alice)
    at.carry()
    return at, _fresh(checkpoint)


def _fresh(checkpoint: Checkpoint) -> Checkpoint:
    return Checkpoint.objects.select_related("guest", "project", "shares").get(pk=checkpoint.pk)


def _carry(at: Scene, death: Death) -> None:
    """To the end, and a worker did die on the way."""
    died = []
    round_of = at._round

    def counted(planned: Death | None) -> bool:
        survived = round_of(planned)
        died.append(not survived)
        return survived

    at._round = counted  # type: ignore[method-assign]
    at.carry(death)
    assert any(died), f"Nothing was asked that is like {death.request}."


def _no_scratch_is_left(at: Scene) -> None:
    at.tidy()
    machines = Machine.objects.values_list("guest", flat=True)
    others = Guest.objects.filter(template=False).exclude(pk__in=machines)
    assert set(others.values_list("state", flat=True)) <= {GuestState.GONE}
    at.check()


class TestVerify:
    def test_it_ends_and_its_claim_is_the_verdicts(self, checkpoint: Any, death: Death) -> None:
        at, one = checkpoint
        verification = actions.verify(one, Depth.BOOT, by=at.alice)

        _carry(at, death)

        verification.refresh_from_db()
        one = _fresh(one)
        assert verification.verdict in {Verdict.PASSED, Verdict.ABANDONED}, verification.sentence
        assert (one.proven_depth == Depth.BOOT) == (verification.verdict == Verdict.PASSED)
        assert one.state == State.CAPTURED
        assert not Verification.objects.filter(verdict=Verdict.REQUESTED).exists()
        _no_scratch_is_left(at)


class TestExport:
    def test_it_ends_with_one_backup_or_none(self, checkpoint: Any, death: Death) -> None:
        at, one = checkpoint
        operation = actions.export(one, by=at.alice)

        _carry(at, death)

        operation.refresh_from_db()
        one = _fresh(one)
        found = [
            other.volume for other in driver().backups(at.node.name, "local") if str(one.id) in other.notes
        ]
        assert found == ([one.backup] if one.backup else [])
        assert bool(one.backup) == (operation.status == "succeeded")
        _no_scratch_is_left(at)
