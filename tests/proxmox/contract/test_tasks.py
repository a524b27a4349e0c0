"""The contract: tasks are followed, found again, and their ends told."""

import time

from proxmox import errors


class TestTasks:
    def test_one_that_nobody_knows_has_an_unknown_outcome(self, driver, target):
        unknown = f"UPID:{target.node}:00000001:00000001:65000000:qmclone:9000:autovibe@pve!local:"

        (task,) = driver.tasks([unknown])

        assert type(errors.of_task(task.result)) is errors.UnknownOutcome
        assert driver.task_log(unknown) == ""

    def test_many_are_asked_about_together(self, driver, target, off):
        upids = [upid for _ in range(4) if target.ended(upid := driver.stop(off)) and upid]

        assert [task.result for task in driver.tasks(upids)] == ["OK"] * 4

    def test_ours_is_found_again_by_kind_and_vm(self, driver, target):
        vm = target.make()
        since = time.time()
        upid = driver.snapshot(vm, "c1", "")

        assert driver.find_task(vm.node, "qmsnapshot", vm.vmid, since) == upid
        assert driver.find_task(vm.node, "qmsnapshot", vm.vmid, since + 3600) == ""
        assert driver.find_task(vm.node, "qmrollback", vm.vmid, since) == ""

        target.done(upid)
        assert driver.running_task(vm) == ""

    def test_the_end_of_its_log_is_told(self, driver, target, off):
        upid = driver.rollback(off, "nope")
        result = target.ended(upid)

        assert driver.task_log(upid).splitlines()[-1] == f"TASK ERROR: {result}"
