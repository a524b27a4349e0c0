"""Watching: the log and what becomes of the machine, through restarts of the server, to an exit code."""

import json
import signal
import subprocess
import time
from collections.abc import Callable

from tests.cli.conftest import Cli
from tests.cli.recorded import PROGRAM, Recorded, machine, operation, page


def eventually(look: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.02)


class TestWatch:
    def test_it_shows_log_and_states_until_the_machine_terminated(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/", machine(state="requested"), status=202)
        server.answer(
            "GET machines/m12/log/",
            page("cloning"),
            page("running", "one", "two"),
            page("running", "three", first=3),
            page("terminated"),
        )
        ended = machine(state="terminated", sentence="The agent finished.", present="m12.c4")
        server.answer("GET machines/m12/", machine(state="cloning"), machine(), ended)
        done = cli("spawn", "--project", "demo", "--type", "vibe", "--watch", "Write a fizzbuzz")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[1:] == ["one", "two", "three"]
        assert "m12 is cloning\nm12 is running\nm12 terminated. The agent finished.\n" in done.stderr
        assert "bin/autovibe diff demo.c0 m12.c4" in done.stderr
        assert [one.query.get("after") for one in server.requests("GET machines/m12/log/")][1:3] == ["0", "2"]

    def test_a_failed_machine_is_exit_1(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/log/", page("failed"))
        server.answer(
            "GET machines/m12/", machine(state="failed", sentence="The agent ended with exit code 9.")
        )
        done = cli("machine", "watch", "m12")
        assert done.returncode == 1
        assert "m12 failed. The agent ended with exit code 9." in done.stderr

    def test_a_paused_machine_is_exit_3_with_the_reason_and_the_way_on(
        self, server: Recorded, cli: Cli
    ) -> None:
        server.answer("GET machines/m12/log/", page("paused", "asking"))
        server.answer("GET machines/m12/", machine(state="paused", sentence="Machine m12 has 0.10 USD left."))
        done = cli("machine", "watch", "m12")
        assert done.returncode == 3
        assert "m12 is paused. Machine m12 has 0.10 USD left." in done.stderr
        assert "bin/autovibe resume m12 --watch" in done.stderr

    def test_the_steps_of_the_operation_are_told(self, server: Recorded, cli: Cli) -> None:
        begun = operation()
        server.answer("POST machines/m12/resume/", begun, status=202)
        server.answer(f"GET operations/{begun['id']}/", begun, operation(status="succeeded", step="done"))
        server.answer(
            "GET machines/m12/log/", page("resuming", "old"), page("resuming"), page("running", "new", first=2),
            page("terminated"),
        )  # fmt: skip
        server.answer("GET machines/m12/", machine(state="resuming"), machine(state="resuming"), machine(),
                      machine(state="terminated"))  # fmt: skip
        done = cli("resume", "m12", "--watch")
        assert done.returncode == 0, done.stderr
        assert "  resume: thaw (running)\n" in done.stderr
        assert "  resume: done (succeeded)\n" in done.stderr
        assert done.stdout == "new\n"

    def test_before_it_goes_back_it_says_what_it_costs_if_that_cannot_be(
        self, server: Recorded, cli: Cli
    ) -> None:
        told = "m12.c2, which is 3 model calls and 0.04 USD earlier"
        found = {"handle": "m12.c2", "turns": 3, "micros": 40_000, "sentence": told}
        preview = {"checkpoint": "m12.c3", "possible": True, "sentence": "", "currency": "USD"}
        server.answer("GET machines/m12/rollback/", {**preview, "fallback": found})
        server.answer("POST machines/m12/rollback/", operation(verb="rollback"), status=202)

        done = cli("rollback", "m12", "m12.c3")

        assert done.returncode == 0, done.stderr
        assert f"Should m12.c3 not be restorable, it goes back to {told}." in done.stderr

    def test_it_says_what_an_operator_has_to_do_and_goes_on_when_that_was_done(
        self, server: Recorded, cli: Cli
    ) -> None:
        begun = operation(verb="rollback")
        stuck = operation(
            verb="rollback", status="needs_operator", error="VM 10012 is locked: run qm unlock 10012."
        )
        nothing = {
            "checkpoint": "m12.c3",
            "possible": True,
            "sentence": "",
            "currency": "USD",
            "fallback": None,
        }
        server.answer("GET machines/m12/rollback/", nothing)
        server.answer("POST machines/m12/rollback/", begun, status=202)
        server.answer(f"GET operations/{begun['id']}/", stuck, operation(verb="rollback", status="succeeded"))
        server.answer("GET machines/m12/log/", page("restoring"), page("terminated"))
        server.answer("GET machines/m12/", machine(state="restoring"), machine(state="terminated"))
        done = cli("rollback", "m12", "m12.c3", "--watch")
        assert done.returncode == 0, done.stderr
        assert "run qm unlock 10012" in done.stderr
        assert server.requests("POST machines/m12/rollback/")[0].body == {"checkpoint": "m12.c3"}

    def test_with_json_every_piece_is_a_line_of_it(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/log/", page("terminated", "one"))
        server.answer("GET machines/m12/", machine(state="terminated"))
        done = cli("machine", "watch", "m12", "--json")
        pieces = [json.loads(line) for line in done.stdout.splitlines()]
        assert [list(piece) for piece in pieces] == [["line"], ["machine"]]
        assert done.stderr == ""

    def test_it_outlives_a_restart_of_the_server(self, server: Recorded, env: dict[str, str]) -> None:
        server.answer("GET machines/m12/log/", page("running", "before"), page("running"))
        server.answer("GET machines/m12/", machine())
        watching = watch(env)
        eventually(lambda: len(server.requests("GET machines/m12/log/")) > 2)
        server.stop()
        assert "Trying again" in read_until(watching, "Trying again")
        server.answers.clear()
        server.answer("GET machines/m12/log/", page("terminated", "after", first=2))
        server.answer("GET machines/m12/", machine(state="terminated"))
        server.start()
        out, err = watching.communicate(timeout=15)
        assert watching.returncode == 0, err
        assert out == "before\nafter\n"
        assert "The server is back." in err

    def test_a_gateway_s_502_is_a_restart_too(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/log/", page("running"))
        server.answer("GET machines/m12/log/", b"<h1>Bad Gateway</h1>", status=502)
        server.answer("GET machines/m12/log/", page("terminated"))
        server.answer("GET machines/m12/", machine(), machine(state="terminated"))
        done = cli("machine", "watch", "m12")
        assert done.returncode == 0
        assert "answered 502 Bad Gateway. Trying again" in done.stderr

    def test_ctrl_c_stops_the_watching_and_not_the_machine(
        self, server: Recorded, env: dict[str, str]
    ) -> None:
        server.answer("GET machines/m12/log/", page("running"))
        server.answer("GET machines/m12/", machine())
        watching = watch(env)
        eventually(lambda: len(server.requests("GET machines/m12/log/")) > 1)
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=15)
        assert watching.returncode == 130
        assert "m12 goes on. Watch again: bin/autovibe machine watch m12" in err
        assert "Traceback" not in err
        assert {one.method for one in server.asked} == {"GET"}

    def test_it_does_not_wait_for_a_server_that_was_never_there(self, server: Recorded, cli: Cli) -> None:
        server.stop()
        assert cli("machine", "watch", "m12").returncode == 4


class TestLogs:
    def test_a_long_log_is_read_to_its_end(self, server: Recorded, cli: Cli) -> None:
        server.answer(
            "GET machines/m12/log/", page("running", *["x"] * 2000), page("running", "the end", first=2001)
        )
        done = cli("logs", "m12")
        assert done.returncode == 0
        assert done.stdout.count("\n") == 2001
        assert server.asked[1].query["after"] == "2000"

    def test_following_ends_with_the_machine_and_not_with_a_pause(self, server: Recorded, cli: Cli) -> None:
        server.answer(
            "GET machines/m12/log/",
            page("paused", "one", "two"),
            page("running"),
            page("terminated", "three", first=3),
        )
        done = cli("logs", "-f", "m12", "--tail", "1")
        assert done.returncode == 0
        assert done.stdout == "two\nthree\n"
        assert server.asked[0].query == {"tail": "1", "limit": "1"}
        assert server.asked[1].query["after"] == "2"

    def test_only_the_lines_that_say_something(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/m12/log/", page("running", "exit code 1"))
        done = cli("logs", "m12", "--search", "exit code", "--tail", "5")
        assert done.stdout == "exit code 1\n"
        assert server.asked[0].query == {"tail": "1", "limit": "5", "q": "exit code"}

    def test_a_reader_that_has_enough_is_no_error(self, server: Recorded, env: dict[str, str]) -> None:
        server.answer("GET machines/m12/log/", page("terminated", *["a line of some length"] * 1999))
        command = f'"{PROGRAM}" logs m12 | head -n 1'
        done = subprocess.run(
            command, shell=True, env=env, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stdout == "a line of some length\n"
        assert done.stderr == ""


def watch(env: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(PROGRAM), "machine", "watch", "m12"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """What it says on stderr, up to and with the line that has `text`."""
    assert process.stderr
    said = ""
    while text not in said:
        line = process.stderr.readline()
        assert line, f"It ended after {said!r}."
        said += line
    return said
