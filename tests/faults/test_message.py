"""Telling an agent something while workers die at each step of it: it is heard once, in order, and never twice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from machines import actions, types
from machines.models import LogLine, Machine
from proxmox.connect import driver
from tests.faults.conftest import Scene
from tests.faults.worker import Death

pytestmark = pytest.mark.e2e

# An agent that writes down what it hears, and nothing else.
LISTENER = """
name = "listener"
title = "Listener"
summary = "Writes down what it hears."
good_at = ["listening"]
checkpoints = "none"
transcripts = ["/root/heard"]
command = 'cat "$AUTOVIBE_PROMPT_FILE" >> "$HOME/heard"; echo >> "$HOME/heard"; exec sleep 600'
resume_command = 'cat "$AUTOVIBE_PROMPT_FILE" >> "$HOME/heard"; echo >> "$HOME/heard"; exec sleep 600'
"""
HEARD = ["The prompt.", "First.", "", "Second."]
# What the worker asks the guest to run: ending the agent, listing files, letting it go on, preparing, starting.
EXEC, EXECS = "POST */agent/exec", 7


@pytest.fixture(autouse=True)
def listener(settings: Any, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "listener.toml").write_text(LISTENER)
    settings.MACHINE_TYPES_DIR = str(tmp_path)
    yield
    types._load.cache_clear()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Some requests, the last two among them; `--whole`: all, before and after each."""
    deaths = [Death("before", "POST */snapshot"), Death("after", "POST */agent/file-write")]
    if metafunc.config.getoption("--whole"):
        deaths += [Death(moment, EXEC, number) for number in range(EXECS) for moment in ("before", "after")]
    else:
        deaths += [Death("before", EXEC, EXECS - 2), Death("after", EXEC, EXECS - 1)]
    ids = [f"{one.moment} {one.request} {one.spared}".replace(" ", "_") for one in deaths]
    metafunc.parametrize("death", deaths, ids=ids)


def test_it_is_heard_once_and_in_order(scene: Callable[[str], Scene], death: Death) -> None:
    at = scene("lvmthin")
    machine = _listening(at)
    actions.message(machine, "First.", by=at.alice)
    actions.message(machine, "Second.", by=at.alice, now=True)

    assert at.carry(death), "no worker died"

    machine.refresh_from_db()
    said = LogLine.objects.filter(machine=machine, run=machine.run, stream="say")
    assert machine.state == "running", machine.sentence
    assert _heard(machine) == HEARD
    assert [line.text for line in said] == ["alice said: First.", "alice said: Second."]
    assert {one.state for one in machine.messages.all()} == {"delivered"}
    at.tidy()
    at.check()


def _listening(at: Scene) -> Machine:
    machine = actions.spawn(
        project=at.project, source=at.genesis, type_name="listener", prompt="The prompt.", by=at.alice
    )
    at.carry()
    Machine.objects.filter(pk=machine.pk).update(continues=True)  # as if a model had been asked
    machine.refresh_from_db()
    assert machine.state == "running", machine.sentence
    while not _heard(machine):
        pass
    return machine


def _heard(machine: Machine) -> list[str]:
    script = 'cat "${GUEST_ROOT:-}/root/heard" 2>/dev/null'
    return driver().run(machine.guest.vm, script).out.decode().splitlines()
