"""Every literal text that Proxmox was seen to answer, or that its sources have, and the class of error it stands for.

`texts.tsv` has a row for each: class, HTTP status or `task`, where it was seen (a release, or the sources), text.
"""

from pathlib import Path

import pytest

from proxmox import errors

ROWS = [
    line.split("\t")
    for line in Path(__file__).with_name("texts.tsv").read_text().splitlines()
    if line.strip()
]


def read(status: str, text: str) -> errors.ProxmoxError:
    return errors.classify(text.replace("\\n", "\n"), None if status == "task" else int(status))


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [(kind, status, text) for kind, status, _, text in ROWS],
    ids=[f"{status} {text[:60]}" for _, status, _, text in ROWS],
)
def test_a_text_is_read_as_what_to_do_next(kind, status, text):
    assert type(read(status, text)).__name__ == kind


def test_no_class_is_without_a_text():
    ours = {"NotOurs"}  # no text: we say that ourselves

    classes = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }

    assert classes - {kind for kind, *_ in ROWS} == ours


def test_what_nobody_knows_is_shown_and_not_tried_for_ever():
    error = errors.classify("start failed: QEMU exited with code 1", 500)

    assert (type(error), str(error)) == (errors.ProxmoxError, "start failed: QEMU exited with code 1")


def test_an_answer_without_a_text_still_says_something():
    assert str(errors.classify("", 500)) == "Proxmox answered 500."


def test_an_agent_that_its_distribution_disabled_is_told_with_the_fix():
    error = errors.classify(
        "Agent error: Command guest-exec has been disabled: the command is not allowed", 500
    )

    assert isinstance(error, errors.AgentDisabled)
    assert "/etc/sysconfig/qemu-ga" in str(error)
    assert "systemctl restart qemu-guest-agent" in str(error)


BACKUP = """INFO: starting new backup job: vzdump 100 --storage local --node pve1
INFO: Starting Backup of VM 100 (qemu)
ERROR: Backup of VM 100 failed - {cause}
INFO: Failed at 2026-11-22 16:04:10
INFO: Backup job finished with errors
TASK ERROR: job errors"""


class TestTaskResults:
    @pytest.mark.parametrize(
        ("cause", "kind"),
        [
            ("VM is locked (snapshot)", errors.Busy),
            ("unable to find VM '100'", errors.Missing),
            ("job failed with err -28 - No space left on device", errors.Capacity),
            ("something new", errors.ProxmoxError),
        ],
    )
    def test_why_a_backup_failed_is_in_its_log(self, cause, kind):
        error = errors.of_task("job errors", BACKUP.format(cause=cause))

        assert (type(error), str(error)) == (kind, cause)

    def test_a_backup_whose_log_is_gone_has_failed_all_the_same(self):
        assert type(errors.of_task("job errors")) is errors.ProxmoxError

    def test_a_backup_that_waited_too_long_for_the_node_has_done_nothing(self):
        log = (
            "INFO: trying to get global lock\nERROR: can't acquire lock '/var/run/vzdump.lock' - got timeout"
        )

        assert type(errors.of_task("unexpected status", log)) is errors.Transient

    def test_a_task_that_was_killed_has_an_unknown_outcome_whatever_it_had_logged(self):
        log = "create full clone of drive scsi0\nTASK ERROR: VM is locked (clone)"

        assert type(errors.of_task("unexpected status", log)) is errors.UnknownOutcome

    def test_a_sentence_that_says_it_all_needs_no_log(self):
        result = "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout"

        assert type(errors.of_task(result, "no space left on device")) is errors.Transient

    def test_why_qemu_did_not_start_is_in_the_log(self):
        log = "bridge 'vmbr99' does not exist\nTASK ERROR: start failed: QEMU exited with code 1"

        error = errors.of_task("start failed: QEMU exited with code 1", log)

        assert type(error) is errors.Refused
        assert "bridge 'vmbr99' does not exist" in str(error)
