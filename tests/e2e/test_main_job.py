"""The main job, in real processes: a prompt runs, leaves checkpoints, and is branched from, rolled back, paused."""

import re

import pytest
import requests

from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.e2e

PROMPT = "Write a fizzbuzz with tests and make them pass"


@pytest.fixture(scope="module")
def done(stack: Stack) -> str:
    """A machine that ran to its end."""
    handle = stack.spawn(PROMPT)
    stack.await_state(handle, "terminated")
    return handle


def files(stack: Stack, checkpoint: str) -> dict[str, str]:
    found = stack.get(f"checkpoints/{checkpoint}/files/")["files"]
    # Absolute paths are the agent's own history, outside the workspace; it grows with every prompt.
    return {
        entry["path"]: entry["sha256"]
        for entry in found
        if entry["kind"] == "file" and entry["path"][0] != "/"
    }


def read(stack: Stack, checkpoint: str, path: str) -> str:
    return stack.call("GET", f"checkpoints/{checkpoint}/file/", params={"path": path}).text


def log(stack: Stack, handle: str) -> str:
    return "\n".join(line["text"] for line in stack.get(f"machines/{handle}/log/", limit=2000)["lines"])


class TestSpawn:
    def test_the_agent_works_with_real_files_and_real_tests(self, stack, done):
        machine = stack.get(f"machines/{done}/")
        said = log(stack, done)

        assert machine["exit_code"] == 0
        assert "[offline model]" in said
        assert "FAILED" in said  # the script writes a bug first …
        assert "OK" in said  # … and mends it

    def test_a_checkpoint_is_around_every_call_and_one_at_the_end(self, stack, done):
        found = stack.checkpoints(done)

        assert [one["state"] for one in found] == ["captured"] * len(found)
        assert [one["why"] for one in found][:2] == ["Before the first call", "After answer 1"]
        assert (found[-1]["kind"], len(found) >= 6) == ("final", True)

    def test_files_grow_from_checkpoint_to_checkpoint(self, stack, done):
        found = stack.checkpoints(done)

        assert "fizzbuzz.py" not in files(stack, found[0]["handle"])
        assert {"fizzbuzz.py", "test_fizzbuzz.py"} <= set(files(stack, found[-1]["handle"]))

    def test_two_checkpoints_can_be_compared(self, stack, done):
        found = stack.checkpoints(done)

        changes = stack.get(f"checkpoints/{found[0]['handle']}/diff/", to=found[-1]["handle"])["changes"]

        (added,) = [one for one in changes if one["path"] == "fizzbuzz.py"]
        assert added["change"] == "added"
        assert "+def " in added["diff"]

    def test_every_call_is_in_the_ledger(self, stack, done):
        (money,) = [
            one for one in stack.get("projects/demo/budgets/")["budgets"] if one["resource"] == "money"
        ]

        assert money["spent"] > 0
        assert money["reserved"] == 0
        stack.manage("ledger", "verify")  # raises when the sums do not agree

    def test_the_guest_is_switched_off_and_kept(self, stack, done):
        eventually(
            lambda: stack.get(f"machines/{done}/")["power"] == "stopped", what="the guest to be seen off"
        )


class TestBranch:
    def test_its_files_are_those_of_the_checkpoint_and_not_of_the_end(self, stack, done):
        found = stack.checkpoints(done)
        third = found[2]["handle"]
        assert files(stack, third) != files(stack, found[-1]["handle"])

        branch = stack.post(f"checkpoints/{third}/branch/", {"prompt": "Now make it buzz at 7"})["handle"]
        stack.await_state(branch, "terminated")

        first = stack.checkpoints(branch)[0]
        assert files(stack, first["handle"]) == files(stack, third)
        assert first["parent"] == third

    def test_the_branch_does_what_it_was_told_and_leaves_its_parent_alone(self, stack, done):
        last = stack.checkpoints(done)[-1]["handle"]
        before = files(stack, last)

        branch = stack.post(f"checkpoints/{last}/branch/", {"prompt": "Now make it buzz at 7"})["handle"]
        stack.await_state(branch, "terminated")

        assert "7" in read(stack, stack.checkpoints(branch)[-1]["handle"], "fizzbuzz.py")
        assert files(stack, last) == before

    def test_modifications_are_there_before_the_agent_starts(self, stack):
        handle = stack.spawn(
            "cat given/a.txt", "shell", files=[{"path": "given/a.txt", "content": "héllo\n"}]
        )
        stack.await_state(handle, "terminated")

        (final,) = stack.checkpoints(handle)
        assert stack.call(
            "GET", f"checkpoints/{final['handle']}/file/", params={"path": "given/a.txt"}
        ).content == ("héllo\n".encode())


class TestRollback:
    def test_an_ended_machine_goes_back_and_goes_on_from_there(self, stack):
        handle = stack.spawn(PROMPT)
        stack.await_state(handle, "terminated")
        before = stack.checkpoints(handle)

        stack.post(f"machines/{handle}/rollback/", {"checkpoint": before[1]["handle"]})
        eventually(
            lambda: stack.get(f"machines/{handle}/")["state"] != "restoring", what="the machine to be back"
        )
        stack.await_state(handle, "terminated")

        after = stack.checkpoints(handle)[len(before) :]
        assert after[0]["parent"] == before[1]["handle"]
        assert files(stack, after[0]["handle"]) == files(stack, before[1]["handle"])


class TestPause:
    def test_a_paused_machine_does_nothing_until_it_is_resumed(self, stack):
        handle = stack.spawn("for i in $(seq 100); do echo tick $i; sleep 0.1; done", "shell")
        stack.await_state(handle, "running")
        stack.post(f"machines/{handle}/pause/")
        stack.await_state(handle, "paused")
        eventually(
            lambda: stack.get(f"machines/{handle}/")["power"] == "paused", what="the guest to be seen frozen"
        )
        lines = stack.get(f"machines/{handle}/log/", limit=2000)["lines"]

        stack.post(f"machines/{handle}/resume/")

        stack.await_state(handle, "terminated")
        said = log(stack, handle).splitlines()
        assert len(lines) < 100
        assert [text for text in said if text.startswith("tick")] == [f"tick {n}" for n in range(1, 101)]


class TestTerminate:
    def test_it_ends_what_runs_and_keeps_the_files(self, stack):
        handle = stack.spawn("echo begun > mark; sleep 600", "shell")
        stack.await_state(handle, "running")
        eventually(lambda: stack.get(f"machines/{handle}/")["heard_at"], what="a sign of life")

        stack.post(f"machines/{handle}/terminate/")

        stack.await_state(handle, "terminated")
        (final,) = stack.checkpoints(handle)
        assert (final["kind"], "mark" in files(stack, final["handle"])) == ("final", True)


class TestCheckpoint:
    def test_its_list_of_files_is_what_its_snapshot_holds_although_the_agent_goes_on(self, stack):
        handle = stack.spawn(
            "n=0; while [ $n -lt 20000 ]; do n=$((n+1)); echo $n > next; mv next count; done", "shell"
        )
        stack.await_state(handle, "running")
        taken = stack.post(f"machines/{handle}/checkpoint/")["handle"]
        eventually(
            lambda: stack.get(f"checkpoints/{taken}/")["state"] == "captured", what="it to be captured"
        )

        branch = stack.post(f"checkpoints/{taken}/branch/", {"prompt": "cat count"})["handle"]
        stack.await_state(branch, "terminated")

        said = [
            line["text"] for line in stack.get(f"machines/{branch}/log/")["lines"] if line["stream"] == "out"
        ]
        assert said == [read(stack, taken, "count").strip()]


class TestOutOfBudget:
    def test_a_limit_that_does_not_even_allow_the_first_call_pauses_too(self, stack):
        handle = stack.spawn(PROMPT, limits={"tokens": 100})

        machine = stack.await_state(handle, "paused")

        assert machine["paused_for"] == "budget"
        assert "tokens" in machine["sentence"]

    def test_the_machine_is_paused_with_the_reason_and_goes_on_when_there_is_more(self, stack):
        handle = stack.spawn(PROMPT, limits={"calls": 2})

        machine = stack.await_state(handle, "paused")
        assert machine["paused_for"] == "budget"
        assert "calls" in machine["sentence"]

        project = stack.get("projects/demo/budgets/")
        (own,) = [one for one in project["budgets"] if one["machine_id"] == machine["id"]]
        assert (own["spent"], own["left"]) == (2, 0)

        stack.call("PUT", f"machines/{handle}/budgets/", json={"resource": "calls", "limit": 50})

        assert stack.await_state(handle, "terminated")["exit_code"] == 0


class TestBadAgents:
    def test_a_failing_agent_is_a_failed_machine_with_a_sentence_and_its_files(self, stack):
        handle = stack.spawn("echo x > made; exit 7", "shell")

        machine = eventually(
            lambda: (m := stack.get(f"machines/{handle}/"))["state"] == "failed" and m,
            what="it to fail",
            seconds=60,
        )

        assert machine["exit_code"] == 7
        assert "7" in machine["sentence"]
        assert stack.checkpoints(handle)[-1]["state"] == "captured"

    def test_an_agent_that_leaves_processes_behind_still_ends(self, stack):
        handle = stack.spawn("(setsid sleep 600 &) ; echo bye", "shell")

        assert stack.await_state(handle, "terminated")["exit_code"] == 0

    def test_a_missing_agent_is_said_so(self, stack):
        handle = stack.spawn("hello", "aider")

        machine = eventually(
            lambda: (m := stack.get(f"machines/{handle}/"))["state"] in {"failed", "running"} and m,
            seconds=60,
        )

        if machine["state"] == "running":
            pytest.skip("aider is installed on this host")
        assert "aider" in machine["sentence"].lower()

    def test_an_agent_that_escapes_through_a_symlink_is_refused(self, stack):
        first = stack.spawn("ln -s /etc link", "shell")
        stack.await_state(first, "terminated")
        last = stack.checkpoints(first)[-1]["handle"]
        files = [{"path": "link/passwd", "content": "x"}]

        branch = stack.post(f"checkpoints/{last}/branch/", {"prompt": "ls", "files": files})["handle"]

        machine = eventually(
            lambda: (m := stack.get(f"machines/{branch}/"))["state"] == "failed" and m, seconds=60
        )
        assert "link" in machine["sentence"]


class TestToken:
    def test_what_a_guest_holds_opens_the_gateway_only_and_only_while_it_runs(self, stack):
        handle = stack.spawn(
            'cat "${GUEST_ROOT:-}"/var/lib/autovibe/runs/*/settings.json; echo; sleep 600', "shell"
        )
        found = eventually(
            lambda: re.search(r"avm_[\w-]+", log(stack, handle)), what="the token to be printed"
        )
        bearer = {"Authorization": f"Bearer {found[0]}"}

        assert requests.get(f"{stack.url}/api/v1/machines/", headers=bearer, timeout=10).status_code == 401
        assert requests.get(f"{stack.url}/v1/models", headers=bearer, timeout=10).status_code == 200

        stack.post(f"machines/{handle}/terminate/")
        stack.await_state(handle, "terminated")
        assert requests.get(f"{stack.url}/v1/models", headers=bearer, timeout=10).status_code == 401
