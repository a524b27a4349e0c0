"""Starting an agent, what is reported of it, and how it ends."""

import json
import os
import signal

import pytest

from tests.guest.conftest import Gateway, Guest, alive, eventually, pids


class TestStart:
    def test_it_runs_the_agent_and_reports_every_line_and_the_end(
        self, guest: Guest, gateway: Gateway
    ) -> None:
        command = (
            'pwd; cat "$AUTOVIBE_PROMPT_FILE"; echo; echo "$SECRET"; printf "bad \\377 byte" >&2; exit 3'
        )
        bundle = guest.bundle(command, gateway=gateway.url, resume=True)
        assert guest.tell("start", bundle)["started"] is True
        ended = eventually(gateway.ended)
        assert gateway.texts() == [str(guest.workspace), "Say hello", "avm_secret"]
        assert gateway.texts("err") == ["bad \ufffd byte"]
        assert [line[0] for line in gateway.lines()] == [1, 2, 3, 4]
        assert (ended["exit_code"], ended["signal"]) == (3, None)
        assert "exit code 3" in ended["sentence"]
        assert set(gateway.tokens) == {"Bearer avm_secret"}

    def test_its_first_report_is_a_sign_of_life(self, guest: Guest, gateway: Gateway) -> None:
        guest.tell("start", guest.bundle("exec sleep 60", gateway=gateway.url))
        beat = eventually(lambda: gateway.reports and gateway.reports[0]["beat"])
        assert alive(beat["pid"])
        assert beat["rss_bytes"] > 0
        assert beat["disk_bytes"] > 0

    def test_a_second_start_of_the_same_run_changes_nothing(self, guest: Guest, gateway: Gateway) -> None:
        bundle = guest.bundle("echo once; exec sleep 60", gateway=gateway.url)
        first = guest.tell("start", bundle)
        again = guest.tell("start", bundle)
        assert again == {**first, "started": False}
        eventually(gateway.texts)
        assert gateway.texts() == ["once"]

    def test_another_run_has_to_wait_for_the_end_of_this_one(self, guest: Guest, gateway: Gateway) -> None:
        guest.tell("start", guest.bundle("exec sleep 60", gateway=gateway.url))
        busy = guest.runner("start", guest.bundle("true", gateway=gateway.url))
        assert busy.returncode == 5
        assert "stop it first" in busy.stderr
        guest.tell("stop", "--grace", "1")
        guest.tell("start", guest.bundle("echo second", gateway=gateway.url))
        eventually(lambda: "second" in gateway.texts())

    def test_what_a_dead_supervisor_left_running_does_not_disturb_the_next_run(
        self, guest: Guest, gateway: Gateway
    ) -> None:
        supervisor = guest.tell("start", guest.bundle("exec sleep 300", gateway=gateway.url))["pid"]
        agent = guest.tell("status")["pid"]
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not guest.tell("status")["running"])
        guest.tell("start", guest.bundle("true", gateway=gateway.url))
        eventually(lambda: not alive(agent))

    def test_what_is_not_installed_is_said_and_nothing_started(self, guest: Guest) -> None:
        check = 'echo "claude is not installed in this guest: add it."; exit 1'
        done = guest.runner("start", guest.bundle(install_check=check))
        assert done.returncode == 4
        assert done.stderr.strip() == "claude is not installed in this guest: add it."
        assert guest.tell("status")["run"] is None

    def test_the_token_is_kept_in_one_closed_file_and_only_while_needed(
        self, guest: Guest, gateway: Gateway
    ) -> None:
        bundle = guest.bundle("exec sleep 60", gateway=gateway.url)
        guest.tell("start", bundle)
        holding = [
            path for path in guest.root.rglob("*") if path.is_file() and b"avm_secret" in path.read_bytes()
        ]
        assert holding == [guest.run(bundle) / "settings.json"]
        assert holding[0].stat().st_mode & 0o077 == 0
        guest.tell("stop")
        assert b"avm_secret" not in holding[0].read_bytes()

    def test_the_prompt_s_place_is_filled_in(self, guest: Guest, gateway: Gateway) -> None:
        bundle = guest.bundle('cat "$FILE"', gateway=gateway.url, env={"FILE": "{prompt_file}"})
        guest.tell("start", bundle)
        eventually(gateway.ended)
        assert gateway.texts() == ["Say hello"]


class TestReport:
    def test_a_long_line_is_cut_between_characters(self, guest: Guest, gateway: Gateway) -> None:
        command = "python3 -c \"print('€' * 20000 + '\\x00')\""
        guest.tell("start", guest.bundle(command, gateway=gateway.url))
        eventually(gateway.ended)
        texts = gateway.texts()
        assert "".join(texts) == "€" * 20000 + "\ufffd"
        assert all(len(text.encode()) <= 16 * 1024 for text in texts)

    def test_much_output_arrives_whole_and_in_order(self, guest: Guest, gateway: Gateway) -> None:
        guest.tell("start", guest.bundle("seq 1 100000", gateway=gateway.url))
        eventually(gateway.ended)
        assert gateway.texts() == [str(n) for n in range(1, 100_001)]
        assert [line[0] for line in gateway.lines()] == list(range(1, 100_001))

    def test_nothing_is_lost_while_the_gateway_is_away(self, guest: Guest, gateway: Gateway) -> None:
        go = guest.workspace / "go"
        command = "echo before; while [ ! -e go ]; do sleep 0.05; done; echo meanwhile"
        guest.tell("start", guest.bundle(command, gateway=gateway.url))
        eventually(gateway.texts)
        gateway.close()
        go.touch()
        eventually(lambda: guest.tell("status")["exit_code"] == 0)
        assert guest.tell("status")["unsent"] == 2
        gateway.open()
        eventually(gateway.ended)
        assert gateway.texts() == ["before", "meanwhile"]
        eventually(lambda: guest.tell("status")["unsent"] == 0)

    def test_errors_of_the_gateway_are_outlasted(self, guest: Guest, gateway: Gateway) -> None:
        gateway.status = 500
        bundle = guest.bundle("echo patience", gateway=gateway.url)
        guest.tell("start", bundle)
        eventually(lambda: "500" in (guest.run(bundle) / "supervisor.log").read_text())
        gateway.status = 200
        eventually(gateway.ended)
        assert gateway.texts() == ["patience"]

    def test_a_killed_supervisor_is_replaced_and_what_it_had_not_sent_is_sent(
        self, guest: Guest, gateway: Gateway
    ) -> None:
        gateway.close()
        bundle = guest.bundle("echo kept; exec sleep 300", gateway=gateway.url)
        supervisor = guest.tell("start", bundle)["pid"]
        eventually(lambda: guest.tell("status")["unsent"] == 1)
        agent = guest.tell("status")["pid"]
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not guest.tell("status")["running"])
        with (guest.run(bundle) / "agent.log").open("a") as log:
            log.write('[2, 17953, "out", "half a li')
        gateway.open()
        assert guest.tell("start", bundle)["started"] is True
        ended = eventually(gateway.ended)
        assert gateway.texts() == ["kept"]
        assert "resume" in ended["sentence"]
        eventually(lambda: not alive(agent))


class TestEnd:
    def test_what_the_agent_forks_off_does_not_outlive_it(self, guest: Guest, gateway: Gateway) -> None:
        command = """
            sleep 300 & echo $! > plain
            setsid sleep 300 & echo $! > session
            env -i setsid sh -c 'echo $$ > hidden; exec sleep 300' &
            sh -c 'trap "" TERM; echo $$ > stubborn; while :; do sleep 1; done' &
            while [ ! -s hidden ] || [ ! -s stubborn ]; do sleep 0.05; done
            echo done
        """
        guest.tell("start", guest.bundle(command, gateway=gateway.url))
        ended = eventually(gateway.ended)
        left = [
            pid for name in ("plain", "session", "hidden", "stubborn") for pid in pids(guest.workspace / name)
        ]
        assert len(left) == 4
        assert not any(map(alive, left))
        assert ended["exit_code"] == 0
        assert gateway.texts() == ["done"]

    def test_its_time_is_limited(self, guest: Guest, gateway: Gateway) -> None:
        guest.tell("start", guest.bundle("exec sleep 300", gateway=gateway.url, wall_seconds=0.5))
        ended = eventually(gateway.ended)
        assert ended["signal"] == signal.SIGTERM
        assert ended["exit_code"] == 128 + signal.SIGTERM
        assert "0.5 s, the limit" in ended["sentence"]

    def test_the_gateway_may_ask_for_it(self, guest: Guest, gateway: Gateway) -> None:
        gateway.answer = {"stop": True}
        command = "trap 'echo saving; exit 0' TERM; while :; do sleep 0.05; done"
        guest.tell("start", guest.bundle(command, gateway=gateway.url))
        ended = eventually(gateway.ended)
        assert ended["exit_code"] == 0
        assert "control plane" in ended["sentence"]
        assert gateway.texts() == ["saving"]

    def test_a_dead_token_ends_agent_and_supervisor(self, guest: Guest, gateway: Gateway) -> None:
        gateway.status = 401
        bundle = guest.bundle("echo $$ > pid; exec sleep 300", gateway=gateway.url)
        supervisor = guest.tell("start", bundle)["pid"]
        eventually(lambda: not alive(supervisor))
        assert not any(map(alive, pids(guest.workspace / "pid")))
        assert "token" in json.loads((guest.run(bundle) / "ended.json").read_text())["sentence"]

    def test_a_killed_agent_is_told_apart_from_one_that_failed(self, guest: Guest, gateway: Gateway) -> None:
        guest.tell("start", guest.bundle("kill -9 $$", gateway=gateway.url))
        ended = eventually(gateway.ended)
        assert (ended["exit_code"], ended["signal"]) == (137, 9)
        assert "memory" in ended["sentence"]

    @pytest.mark.parametrize(
        "command",
        ["true", "exit 3", "kill -TERM $$", "kill -9 $$", "kill -40 $$", "exec /nowhere", "exit 255"],
    )
    def test_it_always_has_a_sentence(self, guest: Guest, gateway: Gateway, command: str) -> None:
        guest.tell("start", guest.bundle(command, gateway=gateway.url))
        sentence = eventually(gateway.ended)["sentence"]
        assert sentence.endswith(".")
        assert len(sentence.split()) > 3

    @pytest.mark.parametrize("damaged", ["", "{}", "\0\0\0\0"])
    def test_one_that_a_power_cut_damaged_is_told_again(
        self, guest: Guest, gateway: Gateway, damaged: str
    ) -> None:
        gateway.close()
        bundle = guest.bundle("true", gateway=gateway.url)
        supervisor = guest.tell("start", bundle)["pid"]
        eventually((guest.run(bundle) / "ended.json").exists)
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not alive(supervisor))
        (guest.run(bundle) / "ended.json").write_text(damaged)
        gateway.open()
        guest.tell("start", bundle)
        assert "resume" in eventually(gateway.ended)["sentence"]


class TestStatus:
    def test_an_agent_runs_until_its_end_is_known(self, guest: Guest, gateway: Gateway) -> None:
        bundle = guest.bundle("while [ ! -e go ]; do sleep 0.05; done; exit 3", gateway=gateway.url)
        guest.tell("start", bundle)
        told = guest.tell("status")
        assert (told["running"], told["exit_code"]) == (True, None)
        assert alive(told["pid"])
        (guest.workspace / "go").touch()
        told = eventually(lambda: not (now := guest.tell("status"))["running"] and now)
        assert (told["pid"], told["exit_code"]) == (None, 3)

    def test_after_a_restart_of_the_guest_nothing_runs(self, guest: Guest, gateway: Gateway) -> None:
        bundle = guest.bundle("echo $$ > pid; exec sleep 300", gateway=gateway.url)
        supervisor = guest.tell("start", bundle)["pid"]
        agent = eventually(lambda: pids(guest.workspace / "pid"))[0]
        for pid in (supervisor, agent):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(supervisor) and not alive(agent))
        somebody = {
            "supervisor": os.getpid(),
            "agent": os.getppid(),
        }  # numbers are given anew after a restart
        (guest.run(bundle) / "pids.json").write_text(json.dumps(somebody))
        told = guest.tell("status")
        assert (told["running"], told["pid"], told["exit_code"]) == (False, None, None)
        assert guest.tell("capture", guest.root / "out.gz", "--freeze")["frozen"] == 0

    def test_an_agent_whose_end_cannot_be_written_down_does_not_run(
        self, guest: Guest, gateway: Gateway
    ) -> None:
        gateway.close()
        bundle = guest.bundle("while [ ! -e go ]; do sleep 0.05; done", gateway=gateway.url)
        guest.tell("start", bundle)
        (guest.run(bundle) / "ended.json").mkdir()
        (guest.workspace / "go").touch()
        eventually(lambda: guest.tell("status")["running"] is False)
        gateway.open()
        assert eventually(gateway.ended)["exit_code"] == 0

    def test_where_nothing_was_started_nothing_runs(self, guest: Guest) -> None:
        assert guest.tell("status") == {
            "run": None,
            "running": False,
            "pid": None,
            "exit_code": None,
            "unsent": 0,
        }


class TestStop:
    def test_it_ends_everything_even_what_does_not_want_to(self, guest: Guest, gateway: Gateway) -> None:
        command = 'trap "" TERM; echo $$ > pid; while :; do sleep 0.1; done'
        supervisor = guest.tell("start", guest.bundle(command, gateway=gateway.url))["pid"]
        agent = eventually(lambda: pids(guest.workspace / "pid"))[0]
        told = guest.tell("stop", "--grace", "0.3")
        assert told["stopped"] is True
        assert told["exit_code"] == 137
        assert told["unsent"] == 0
        assert not alive(agent)
        assert not alive(supervisor)
        assert "request" in (gateway.ended() or {})["sentence"]

    def test_it_does_not_wait_for_a_gateway_that_is_away(self, guest: Guest, gateway: Gateway) -> None:
        gateway.close()
        bundle = guest.bundle("exec sleep 300", gateway=gateway.url)
        guest.tell("start", bundle)
        told = guest.tell("stop", "--grace", "1")
        assert told["stopped"] is True
        assert told["unsent"] > 0
        gateway.open()
        guest.tell("start", bundle)
        eventually(gateway.ended)

    def test_where_nothing_runs_it_does_nothing(self, guest: Guest) -> None:
        assert guest.tell("stop")["run"] is None
        assert guest.tell("status")["run"] is None


class TestShutdown:
    """The guest's system sends TERM to everything: that is not the agent's end."""

    def test_the_end_is_not_reported_so_that_the_machine_can_go_on_later(
        self, guest: Guest, gateway: Gateway
    ) -> None:
        supervisor = guest.tell("start", guest.bundle("exec sleep 60", gateway=gateway.url))["pid"]
        agent = guest.tell("status")["pid"]
        eventually(lambda: gateway.reports)

        for process in (supervisor, agent):
            os.kill(process, signal.SIGTERM)

        eventually(lambda: not alive(supervisor))
        assert not alive(agent)
        assert gateway.ended() is None
        assert guest.tell("status")["running"] is False
