"""The targets of the contract; each lives for the whole run, and its VMs as long as the tests that share them."""

from collections.abc import Iterator

import pytest

from proxmox.driver import VM
from proxmox.pve import PveDriver
from tests.proxmox.contract.target import TARGETS, Target, target_named
from tests.proxmox.recorder import recording


@pytest.fixture(scope="session", params=TARGETS)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A Proxmox."""
    with target_named(request.param, tmp_path_factory.mktemp("contract")) as found:
        yield found


@pytest.fixture(autouse=True)
def checked() -> Iterator[None]:
    """Every request that the driver sends in a test is checked against the schemas of both releases."""
    with recording():
        yield


@pytest.fixture
def driver(target: Target) -> PveDriver:
    return target.driver


@pytest.fixture(scope="module")
def off(target: Target) -> VM:
    """A VM of ours that is powered off. Tests that share it leave it so."""
    return target.make()


@pytest.fixture(scope="module")
def running(target: Target) -> VM:
    """A VM of ours that runs, and whose agent answers. Tests that share it leave it so."""
    return target.boot(target.make())
