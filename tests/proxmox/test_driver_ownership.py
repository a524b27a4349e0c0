"""What the driver proves before it does anything destructive, and what it makes of a 403."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from proxmox import errors
from proxmox.driver import VM
from proxmox.pve import PveDriver
from tests.proxmox.recorder import checked  # noqa: F401
from tests.proxmox.scripted import Answer, Asked, Server, scripted

pytestmark = pytest.mark.usefixtures("checked")

OURS = {"tags": "ci;autovibe", "description": "a machine\nid-1"}
FORBIDDEN = Answer(403, "", "Permission check failed (/vms/100, VM.Audit)")
TAKEN = Answer(
    400, '{"message":"Parameter verification failed.\\n","errors":{"vmid":"VM 100 already exists\\n"}}'
)
GUEST = VM("pve1", 100, "id-1")


def data(value: Any) -> Answer:
    return Answer(body=json.dumps({"data": value}))


def cluster(
    config: Answer,
    *,
    pool: str = "",
    seen: bool = True,
    taken: Answer | None = None,
    tasks: tuple[str, ...] = (),
) -> Callable[[Asked], Answer]:
    """A cluster with VM 100, whose configuration is answered so."""
    resource = {"type": "qemu", "vmid": 100, "node": "pve1", "status": "stopped"} | (
        {"pool": pool} if pool else {}
    )
    rows = {
        "/config": config,
        "/status/current": config,
        "/cluster/resources?type=vm": data([resource] if seen else []),
        "/cluster/nextid?vmid=100": taken or data("100"),
        "/tasks?source=active": data([{"type": kind, "upid": "UPID:x"} for kind in tasks]),
    }

    def answer(asked: Asked) -> Answer:
        return next((found for end, found in rows.items() if asked.path.endswith(end)), data("UPID:x"))

    return answer


def destroyed(server: Server) -> bool:
    return any(asked.method == "DELETE" for asked in server.asked)


def connect(server: Server) -> PveDriver:
    return PveDriver(server.url, "autovibe@pve!ci=x", pool="autovibe")


class TestBeforeDestroying:
    @pytest.mark.parametrize("pool", ["autovibe", ""])
    def test_tag_and_id_and_our_pool_or_none_that_the_token_sees(self, pool):
        with scripted(cluster(data(OURS), pool=pool)) as server:
            assert connect(server).destroy(GUEST) == "UPID:x"
            assert destroyed(server)

    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"tags": "autovibe"},
            {"description": "id-1"},
            {"tags": "autovibe-not", "description": "id-1"},
            {"tags": "autovibe", "description": "id-2"},
        ],
    )
    def test_one_of_the_two_is_not_enough(self, config):
        with scripted(cluster(data(config))) as server:
            with pytest.raises(errors.NotOurs):
                connect(server).destroy(GUEST)
            assert not destroyed(server)

    def test_a_vm_that_somebody_moved_to_another_pool_is_theirs(self):
        with scripted(cluster(data(OURS), pool="theirs")) as server:
            with pytest.raises(errors.NotOurs, match="in the pool theirs, not in autovibe"):
                connect(server).destroy(GUEST)
            assert not destroyed(server)

    def test_a_caller_who_does_not_say_whose_it_is_destroys_nothing(self):
        with scripted(cluster(data(OURS))) as server:
            with pytest.raises(errors.NotOurs):
                connect(server).destroy(VM("pve1", 100))
            assert not destroyed(server)


class TestForbidden:
    """To a token with rights on a pool only, a VM that is not there is forbidden, not missing."""

    def test_a_number_that_nobody_has_is_missing(self):
        with scripted(cluster(FORBIDDEN, seen=False)) as server:
            for ask in (connect(server).config, connect(server).observe, connect(server).destroy):
                with pytest.raises(errors.Missing):
                    ask(GUEST)

    @pytest.mark.parametrize("kind", ["qmclone", "qmrestore", "qmcreate"])
    def test_a_vm_that_is_being_made_joins_its_pool_at_the_end(self, kind):
        with (
            scripted(cluster(FORBIDDEN, seen=False, taken=TAKEN, tasks=(kind,))) as server,
            pytest.raises(errors.Busy, match="is being made"),
        ):
            connect(server).config(GUEST)

    def test_a_vm_that_is_there_and_is_not_being_made_is_forbidden(self):
        with (
            scripted(cluster(FORBIDDEN, seen=False, taken=TAKEN, tasks=("vzdump",))) as server,
            pytest.raises(errors.Refused, match=r"/vms/100, VM\.Audit"),
        ):
            connect(server).config(GUEST)

    def test_a_vm_that_the_token_sees_is_forbidden_for_what_it_says(self):
        with (
            scripted(cluster(FORBIDDEN, tasks=("qmclone",))) as server,
            pytest.raises(errors.Refused) as caught,
        ):
            connect(server).configure(GUEST, {"cores": 2})

        assert not isinstance(caught.value, errors.NotOurs)
        assert "VM.Audit" in str(caught.value)
