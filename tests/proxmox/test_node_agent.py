"""The guest agent: commands and files, with the habits of the real one."""

import base64
import time
from pathlib import Path

import pytest

from tests.node_process import start_node
from tests.proxmox.conftest import Api
from tests.proxmox.test_node_power import moves, run_away, until

VMID = 400


@pytest.fixture(autouse=True, scope="module")
def _guest(either_node: object) -> None:
    api = Api(either_node)  # type: ignore[arg-type]
    api.clone(VMID)
    api.start(VMID)


class TestExec:
    def test_output_and_exit_code_come_back_once(self, either: Api) -> None:
        status = either.run(VMID, "echo out; echo err >&2; exit 3")
        assert status == {
            "exited": 1,
            "exitcode": 3,
            "out-data": "out\n",
            "out-truncated": 0,
            "err-data": "err\n",
            "err-truncated": 0,
        }

    def test_the_second_question_finds_the_pid_forgotten(self, either: Api) -> None:
        pid = either.post(f"qemu/{VMID}/agent/exec", command=["/bin/true"])["pid"]
        while not either.get(f"qemu/{VMID}/agent/exec-status", pid=pid)["exited"]:
            time.sleep(0.01)
        answer = either.call("GET", f"qemu/{VMID}/agent/exec-status", pid=pid)
        assert (answer.status_code, answer.reason) == (500, "Agent error: Invalid parameter 'pid'")

    def test_a_signal_is_told_from_an_exit_code(self, either: Api) -> None:
        assert either.run(VMID, "kill -9 $$") == {"exited": 1, "signal": 9}

    def test_bytes_are_shown_as_latin_1(self, either: Api) -> None:
        assert either.out(VMID, r'printf "a\377\376\001b"') == "a\xff\xfe\x01b"

    def test_input_reaches_the_command(self, either: Api) -> None:
        assert (
            either.run(VMID, "cat", input_data="from stdin \xfc\n" * 5000)["out-data"]
            == "from stdin \xfc\n" * 5000
        )

    def test_more_than_16_mib_is_cut(self, either: Api) -> None:
        status = either.run(VMID, "head -c 17000000 /dev/zero")
        assert (len(status["out-data"]), status["out-truncated"]) == (16 * 1024**2, 1)

    def test_there_is_no_home_and_a_clean_environment(self, either: Api) -> None:
        assert either.out(VMID, 'echo "${HOME-unset}" "${DJANGO_SETTINGS_MODULE-unset}"') == "unset unset\n"

    def test_python_is_there(self, either: Api) -> None:
        assert either.out(VMID, "python3 -c 'print(6 * 7)'") == "42\n"

    def test_a_detached_process_outlives_its_command(self, either: Api) -> None:
        either.out(VMID, '(setsid sh -c "sleep 0.3; echo late > ${GUEST_ROOT:-}/tmp/late" >/dev/null 2>&1 &)')
        assert (
            either.out(VMID, 'while ! [ -s "${GUEST_ROOT:-}/tmp/late" ]; do sleep 0.05; done; echo there')
            == "there\n"
        )

    def test_a_missing_program_breaks_the_pipe(self, either: Api) -> None:
        answer = either.call("POST", f"qemu/{VMID}/agent/exec", command=["/no/such/binary"])
        assert (answer.status_code, answer.reason, answer.content) == (596, "Broken pipe", b"")

    def test_words_beyond_ascii_wedge_the_agent_until_a_reset(self, either: Api) -> None:
        answer = either.call("POST", f"qemu/{VMID}/agent/exec", command=["/bin/echo", "\xfc"])
        assert answer.reason == f"VM {VMID} qga command 'guest-exec' failed - got timeout"
        assert either.call("POST", f"qemu/{VMID}/agent/ping").reason == "QEMU guest agent is not running"
        either.done(either.post(f"qemu/{VMID}/status/reset"))
        assert either.out(VMID, "echo again") == "again\n"


class TestFiles:
    def test_what_is_written_can_be_read(self, either: Api) -> None:
        either.write(VMID, "/workspace/a", "hello\n\xfc\n")
        assert either.get(f"qemu/{VMID}/agent/file-read", file="/workspace/a") == {
            "content": "hello\n\xfc\n",
            "bytes-read": 8,
        }
        assert either.out(VMID, 'cat "${GUEST_ROOT:-}/workspace/a"') == "hello\n\xfc\n"

    def test_base64_is_taken_as_it_is(self, either: Api) -> None:
        content = base64.b64encode(bytes(range(256))).decode()
        either.post(f"qemu/{VMID}/agent/file-write", file="/root/bin", content=content, encode=0)
        assert either.read(VMID, "/root/bin").encode("latin-1") == bytes(range(256))

    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            (
                {"content": "not base64 !!", "encode": 0},
                "Agent error: Base64 data contains invalid characters",
            ),
            ({"content": "\u20ac"}, "Wide character in subroutine entry"),
        ],
    )
    def test_what_cannot_be_written_is_refused(
        self, either: Api, sent: dict[str, object], reason: str
    ) -> None:
        assert either.call("POST", f"qemu/{VMID}/agent/file-write", file="/root/x", **sent).reason == reason

    def test_61440_characters_are_the_limit(self, either: Api) -> None:
        either.write(VMID, "/root/big", "a" * 61440)
        answer = either.call("POST", f"qemu/{VMID}/agent/file-write", file="/root/big", content="a" * 61441)
        assert answer.json()["errors"] == {"content": "value may only be 61440 characters long"}

    def test_a_part_of_a_file_can_be_read(self, either: Api) -> None:
        either.write(VMID, "/root/part", "0123456789")
        path = f"qemu/{VMID}/agent/file-read"
        assert either.get(path, file="/root/part", offset=2, count=3) == {
            "content": "234",
            "bytes-read": 3,
            "truncated": 1,
        }
        assert either.get(path, file="/root/part", offset=8, count=3) == {"content": "89", "bytes-read": 2}

    def test_the_end_is_noticed_only_by_reading_beyond_it(self, either: Api) -> None:
        either.write(VMID, "/root/whole", "0123456789")
        assert "truncated" in either.get(f"qemu/{VMID}/agent/file-read", file="/root/whole", count=10)
        assert "truncated" not in either.get(f"qemu/{VMID}/agent/file-read", file="/root/whole", count=11)

    def test_base64_comes_in_chunks_of_a_mebibyte(self, either: Api) -> None:
        either.out(VMID, 'head -c 1048577 /dev/zero > "${GUEST_ROOT:-}/root/large"')
        content = either.get(f"qemu/{VMID}/agent/file-read", file="/root/large", decode=0)["content"]
        assert content == base64.b64encode(bytes(1048576)).decode() + "AA=="

    def test_8_4_knows_no_parts(self, tmp_path: Path) -> None:
        with start_node(tmp_path, release="8.4") as node:
            api = Api(node)
            api.clone(100)
            api.start(100)
            answer = api.call("GET", "qemu/100/agent/file-read", file="/etc/hosts", offset=1)
            assert "not defined in schema" in answer.json()["errors"]["offset"]
            answer = api.call("POST", "qemu/100/agent/exec", command=["/bin/echo", "\xfc"])
            assert answer.reason == "VM 100 qmp command 'guest-exec' failed - got timeout"

    def test_missing_paths_and_directories_are_told_apart(self, either: Api) -> None:
        path = f"qemu/{VMID}/agent"
        assert either.call("GET", f"{path}/file-read", file="/no/such/file").reason == (
            "Agent error: failed to open file '/no/such/file' (mode: 'r'): No such file or directory"
        )
        assert either.call("GET", f"{path}/file-read", file="/root").reason == (
            "Agent error: failed to read file: Is a directory"
        )
        assert either.call("POST", f"{path}/file-write", file="/no/such/f", content="x").reason == (
            "Agent error: failed to open file '/no/such/f' (mode: 'wb'): No such file or directory"
        )


class TestAvailability:
    def test_a_vm_that_is_off_is_not_running(self, either: Api) -> None:
        either.clone(401)
        assert either.call("POST", "qemu/401/agent/ping").reason == "VM 401 is not running"

    def test_one_that_is_not_configured_is_told_from_one_that_is_switched_off(self, either: Api) -> None:
        either.clone(402)
        either.put("qemu/402/config", agent="0")
        either.start(402)
        assert either.call("POST", "qemu/402/agent/ping").reason == "QEMU guest agent is not running"
        either.stop(402)
        either.put("qemu/402/config", delete="agent")
        assert either.call("POST", "qemu/402/agent/ping").reason == "No QEMU guest agent configured"

    def test_a_paused_guest_does_not_answer(self, either: Api) -> None:
        either.clone(403)
        either.start(403)
        either.done(either.post("qemu/403/status/suspend"))
        assert either.get("qemu/403/status/current")["qmpstatus"] == "paused"
        assert either.call("POST", "qemu/403/agent/ping").reason == "QEMU guest agent is not running"
        either.done(either.post("qemu/403/status/resume"))
        either.post("qemu/403/agent/ping")


class TestInformation:
    def asked(self, api: Api, command: str) -> object:
        return api.get(f"qemu/{VMID}/agent/{command}")["result"]

    def test_it_tells_about_the_system(self, either: Api) -> None:
        assert either.get(f"qemu/{VMID}/agent/get-osinfo")["result"]["machine"]
        name = either.out(VMID, "hostname").strip()
        assert self.asked(either, "get-host-name") == {"host-name": name}
        assert self.asked(either, "get-users") == []
        assert abs(int(str(self.asked(either, "get-time"))) / 1e9 - time.time()) < 60

    def test_it_tells_about_the_hardware(self, either: Api) -> None:
        either.clone(404)
        either.put("qemu/404/config", cores=3, memory=512)
        either.start(404)
        cpus = either.get("qemu/404/agent/get-vcpus")["result"]
        assert [cpu["logical-id"] for cpu in cpus] == [0, 1, 2]
        blocks = either.get("qemu/404/agent/get-memory-blocks")["result"]
        size = either.get("qemu/404/agent/get-memory-block-info")["result"]["size"]
        assert len(blocks) * size == 512 * 1024**2

    def test_it_tells_about_the_disk(self, either: Api) -> None:
        (before,) = either.get(f"qemu/{VMID}/agent/get-fsinfo")["result"]
        either.out(VMID, 'head -c 5000000 /dev/urandom > "${GUEST_ROOT:-}/root/5m"')
        (after,) = either.get(f"qemu/{VMID}/agent/get-fsinfo")["result"]
        assert (after["mountpoint"], after["total-bytes"]) == ("/", 4 * 1024**3)
        assert after["used-bytes"] - before["used-bytes"] >= 5_000_000

    def test_it_tells_about_the_network(self, either: Api) -> None:
        (loopback,) = either.get(f"qemu/{VMID}/agent/network-get-interfaces")["result"]
        assert loopback["name"] == "lo"
        assert loopback["statistics"].keys() >= {"rx-bytes", "tx-bytes", "rx-dropped"}

    def test_every_command_can_be_asked_for_by_name(self, either: Api) -> None:
        named = {row["name"] for row in either.get(f"qemu/{VMID}/agent")}
        assert {"exec", "fsfreeze-freeze", "get-fsinfo", "ping", "set-user-password"} <= named
        asked = either.post(f"qemu/{VMID}/agent", command="get-timezone")["result"]
        assert asked == either.get(f"qemu/{VMID}/agent/get-timezone")["result"]
        answer = either.call("POST", f"qemu/{VMID}/agent", command="bogus")
        assert answer.json()["errors"]["command"].startswith(
            "value 'bogus' does not have a value in the enum"
        )

    def test_no_password_can_be_set(self, either: Api) -> None:
        answer = either.call(
            "POST", f"qemu/{VMID}/agent/set-user-password", username="root", password="12345"
        )
        assert answer.reason == "Agent error: child process has failed to set user password"

    def test_it_shuts_the_guest_down(self, either: Api) -> None:
        either.clone(405)
        either.start(405)
        either.post("qemu/405/agent/shutdown")
        until(lambda: either.get("qemu/405/status/current")["status"] == "stopped")


class TestFreeze:
    def test_nothing_writes_until_the_thaw(self, either: Api) -> None:
        either.clone(406)
        either.start(406)
        mark = run_away(either, 406)
        assert either.post("qemu/406/agent/fsfreeze-status")["result"] == "thawed"
        assert either.post("qemu/406/agent/fsfreeze-freeze")["result"] == 1
        assert either.post("qemu/406/agent/fsfreeze-status")["result"] == "frozen"
        assert not moves(mark)
        assert either.call("POST", "qemu/406/agent/exec", command=["/bin/true"]).reason == (
            "Agent error: Command guest-exec has been disabled: the agent is in frozen state"
        )
        assert either.post("qemu/406/agent/fsfreeze-thaw")["result"] == 1
        assert moves(mark)
        assert either.post("qemu/406/agent/fsfreeze-thaw")["result"] == 0

    def test_a_snapshot_does_not_thaw_it(self, either: Api) -> None:
        either.clone(407)
        either.start(407)
        mark = run_away(either, 407)
        either.post("qemu/407/agent/fsfreeze-freeze")
        either.snapshot(407, "s1")
        assert not moves(mark)
        either.post("qemu/407/agent/fsfreeze-thaw")
        assert moves(mark)
