"""Every literal text that Proxmox was seen to answer, and the class of error it stands for."""

import pytest

from proxmox import errors

TEXTS = [
    ("can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", 500, errors.Transient),
    (
        "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-lvm' - got timeout",
        None,
        errors.Transient,
    ),
    ("cfs-lock 'storage-ceph' error: got lock request timeout", None, errors.Transient),
    ("cluster not ready - no quorum?", 500, errors.Transient),
    ("QEMU guest agent is not running", 500, errors.AgentAbsent),
    ("No QEMU guest agent configured", 500, errors.AgentAbsent),
    ("VM 200 is not running", 500, errors.AgentAbsent),
    ("VM is locked (backup)", 500, errors.Busy),
    ("unexpected status", None, errors.UnknownOutcome),
    ("Broken pipe", 596, errors.UnknownOutcome),
    ("No route to host", 595, errors.UnknownOutcome),
    ("unable to create VM 183 - VM 183 already exists on node 'pve1'", 500, errors.Exists),
    ("unable to create VM 101: config file already exists", 500, errors.Exists),
    ("snapshot name 's1' already used", None, errors.Exists),
    ("VM 200 already running", None, errors.Exists),
    ("Configuration file 'nodes/pve1/qemu-server/117.conf' does not exist", 500, errors.Missing),
    ("snapshot 'x' does not exist", 500, errors.Missing),
    ("qemu-img: error while writing: No space left on device", None, errors.Capacity),
    ("Linked clone feature is not supported for drive 'scsi0'", 500, errors.Unsupported),
    ("can't rollback, 'c1' is not most recent snapshot on 'vm-1-disk-0'", None, errors.Unsupported),
    ("snapshot feature is not available", None, errors.Unsupported),
    ("Method 'GET /nope' not implemented", 501, errors.Unsupported),
    ("Permission check failed (/vms/100, VM.PowerMgmt)", 403, errors.Refused),
    ("Parameter verification failed.", 400, errors.Refused),
    ("", 401, errors.Refused),
]


@pytest.mark.parametrize(("text", "status", "kind"), TEXTS, ids=[text[:40] for text, _, _ in TEXTS])
def test_a_text_is_read_as_what_to_do_next(text, status, kind):
    assert type(errors.classify(text, status)) is kind


def test_what_nobody_knows_is_shown_and_not_tried_for_ever():
    error = errors.classify("start failed: QEMU exited with code 1", 500)

    assert (type(error), str(error)) == (errors.ProxmoxError, "start failed: QEMU exited with code 1")
