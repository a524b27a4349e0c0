"""The guest agent: commands and files, with the habits of the real one."""

import base64
import time

import pytest

from tests.proxmox.conftest import Api

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

    def test_an_agent_that_is_switched_off_is_not_configured(self, either: Api) -> None:
        either.clone(402)
        either.put("qemu/402/config", agent="0")
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
    def test_it_tells_about_the_system(self, either: Api) -> None:
        assert either.get(f"qemu/{VMID}/agent/get-osinfo")["result"]["machine"]
        assert either.get(f"qemu/{VMID}/agent/info")["result"]["supported_commands"]
        assert either.get(f"qemu/{VMID}/agent/network-get-interfaces")["result"][0]["name"] == "lo"
