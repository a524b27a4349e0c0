"""The driver and a guest agent that is busy, forgetful or forbidden."""

import base64
import json
from typing import Any

import pytest

from proxmox import errors
from proxmox.driver import VM
from proxmox.pve import PveDriver
from tests.proxmox.recorder import checked, form  # noqa: F401
from tests.proxmox.scripted import Answer, Asked, Script, scripted

pytestmark = pytest.mark.usefixtures("checked")

GUEST = VM("pve1", 100, "me")
BUSY = Answer(500, "", "unable to connect to VM 100 qga socket - timeout after 31 retries")
ABSENT = Answer(500, "", "QEMU guest agent is not running")
FROZEN = Answer(
    500, "", "Agent error: Command guest-exec-status has been disabled: the agent is in frozen state"
)
FORBIDDEN = Answer(
    500, "", "Agent error: Command guest-exec-status has been disabled: the command is not allowed"
)
OFF = Answer(500, "", "VM 100 is not running")
SLOW = Answer(500, "", "VM 100 qga command 'guest-exec-status' failed - got timeout")
FORGOTTEN = Answer(500, "", "Agent error: Invalid parameter 'pid'")
TIMED_OUT = Answer(500, "", "VM 100 qga command 'guest-exec' failed - got timeout")


def data(value: Any) -> Answer:
    return Answer(body=json.dumps({"data": value}))


def agent(*ends: Answer, started: Answer | None = None) -> Script:
    """An agent that starts every command as 7, and answers one of `ends` after the other when asked for its end."""
    left = list(ends)

    def answer(asked: Asked) -> Answer:
        return left.pop(0) if "exec-status" in asked.path else started or data({"pid": 7})

    return answer


ENDED = data({"exited": 1, "exitcode": 0, "out-data": "hi"})


def test_a_line_that_another_process_holds_is_waited_for_once_the_command_runs():
    with scripted(agent(BUSY, data({"exited": 0}), BUSY, ENDED)) as server:
        assert PveDriver(server.url, "a@pve!b=c").run(GUEST, "true").out == b"hi"


def test_a_line_that_is_held_before_the_command_was_started_is_for_the_caller_to_wait_for():
    with scripted(agent(started=BUSY)) as server, pytest.raises(errors.Transient):
        PveDriver(server.url, "a@pve!b=c").run(GUEST, "true")


def test_an_end_that_somebody_else_was_told_is_an_unknown_outcome():
    with (
        scripted(agent(data({"exited": 0}), FORGOTTEN)) as server,
        pytest.raises(errors.UnknownOutcome, match="told once, and lost"),
    ):
        PveDriver(server.url, "a@pve!b=c").run(GUEST, "true")


@pytest.mark.parametrize("silence", [ABSENT, FROZEN, SLOW, Answer(hang_up=True)])
def test_a_command_that_runs_outlasts_an_agent_that_does_not_answer_for_a_while(silence):
    with scripted(agent(silence, data({"exited": 0}), silence, ENDED)) as server:
        assert PveDriver(server.url, "a@pve!b=c").run(GUEST, "true").out == b"hi"

    assert [asked.method for asked in server.asked] == ["POST", *["GET"] * 4]
    # None that the server may be about to close: an end is told once.
    assert {asked.headers["Connection"] for asked in server.asked} == {"close"}


def test_a_command_whose_agent_stays_away_has_an_unknown_outcome():
    with (
        scripted(agent(*[ABSENT] * 1000)) as server,
        pytest.raises(errors.UnknownOutcome, match="did not end within"),
    ):
        PveDriver(server.url, "a@pve!b=c").run(GUEST, "true", seconds=0.3)


def test_an_agent_that_may_not_tell_of_an_end_is_not_taken_for_forgetful():
    with scripted(agent(FORBIDDEN)) as server, pytest.raises(errors.AgentDisabled):
        PveDriver(server.url, "a@pve!b=c").run(GUEST, "true")


def test_a_vm_that_was_switched_off_runs_its_command_no_more():
    with scripted(agent(data({"exited": 0}), OFF)) as server, pytest.raises(errors.PoweredOff):
        PveDriver(server.url, "a@pve!b=c").run(GUEST, "true")


def test_an_end_whose_telling_was_lost_is_an_unknown_outcome():
    with (
        scripted(agent(Answer(hang_up=True), FORGOTTEN)) as server,
        pytest.raises(errors.UnknownOutcome, match="told once, and lost"),
    ):
        PveDriver(server.url, "a@pve!b=c").run(GUEST, "true")


def test_a_frozen_guest_starts_nothing_and_is_for_the_caller_to_wait_for():
    with scripted(agent(started=FROZEN)) as server, pytest.raises(errors.Transient):
        PveDriver(server.url, "a@pve!b=c").run(GUEST, "true")


def test_a_command_that_may_have_been_started_is_not_started_again():
    with scripted(agent(started=TIMED_OUT)) as server:
        with pytest.raises(errors.UnknownOutcome):
            PveDriver(server.url, "a@pve!b=c").run(GUEST, "true")

        assert len(server.asked) == 1


def test_nothing_but_ascii_is_in_a_command():
    with scripted(agent(ENDED)) as server:
        PveDriver(server.url, "a@pve!b=c").run(GUEST, 'echo "“$1”"', "日本")

    command = form(server.asked[0].body)["command"]
    assert command[:2] == ["/bin/sh", "-c"]
    assert all(part.isascii() for part in command)
    assert base64.b64decode(command[-1]).decode() == "set -- '日本'\necho \"“$1”\""


def test_bytes_are_sent_as_our_own_base64():
    with scripted(lambda asked: data(None)) as server:
        PveDriver(server.url, "a@pve!b=c").write(GUEST, "/x", "日本".encode())

    sent = form(server.asked[0].body)
    assert sent["encode"] == ["0"]
    assert base64.b64decode(sent["content"][0]).decode() == "日本"
