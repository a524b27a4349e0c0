"""What scripts and terminals need: single fields, raw requests, waiting for operations, pages, and profiles."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.recorded import ROOT, Recorded, environment, machine, operation, run
from tests.cli.test_output import on_terminal

OPERATION = operation()["id"]


class TestGet:
    def test_a_field_is_all_that_is_printed(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/", machine())
        done = cli("spawn", "--project", "demo", "--type", "vibe", "--get", "handle", "Hello")
        assert (done.stdout, done.stderr) == ("m12\n", "")

    def test_dots_and_numbers_lead_into_what_is_inside(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/", {"results": [machine(handle="m9"), machine()], "next": None})
        assert cli("machines", "--get", "results.1.handle").stdout == "m12\n"
        assert json.loads(cli("machines", "--get", "results.0.verbs").stdout) == machine()["verbs"]

    def test_a_field_that_is_not_there_is_wrong_usage_and_names_what_is(
        self, server: Recorded, cli: Cli
    ) -> None:
        server.answer("GET machines/m12/", machine())
        done = cli("machine", "show", "m12", "--get", "handel")
        assert done.returncode == 2
        assert "handle" in done.stderr


class TestApi:
    def test_fields_are_the_query_of_what_only_looks(self, server: Recorded, cli: Cli) -> None:
        server.answer("GET machines/", {"results": []})
        assert json.loads(cli("api", "get", "machines/", "-f", "state=running").stdout) == {"results": []}
        assert server.asked[0].query == {"state": "running"}

    def test_else_the_body_as_text_or_json(self, server: Recorded, cli: Cli) -> None:
        server.answer("PUT machines/m12/budgets/", {})
        fields = ("-f", "resource=calls", "-f", "limit:=50")
        assert cli("api", "PUT", "machines/m12/budgets/", *fields).returncode == 0
        assert server.asked[0].body == {"resource": "calls", "limit": 50}

    def test_a_body_and_headers_of_one_s_own(self, server: Recorded, cli: Cli) -> None:
        server.answer("POST machines/", machine())
        header = ("--header", "Idempotency-Key: nightly-7")
        cli("api", "POST", "machines/", "--input", "-", *header, stdin='{"prompt": "Hello"}')
        assert server.asked[0].body == {"prompt": "Hello"}
        assert server.asked[0].headers["Idempotency-Key"] == "nightly-7"

    def test_the_token_goes_to_the_server_it_is_for_and_nowhere_else(
        self, server: Recorded, cli: Cli
    ) -> None:
        for address in ("https://elsewhere.example/x", "//elsewhere.example/x"):
            done = cli("api", "GET", address)
            assert done.returncode == 1
            assert "which alone is shown the token" in done.stderr
        assert server.asked == []


class TestOperations:
    def test_waiting_ends_when_it_has_ended_and_says_how(self, server: Recorded, cli: Cli) -> None:
        ended = {"finished_at": "2025-05-06T07:09:09Z"}
        server.answer(f"GET operations/{OPERATION}/", operation(), operation(status="succeeded", **ended))
        done = cli("operation", "wait", OPERATION)
        assert done.returncode == 0
        assert "resume: thaw (running)" in done.stderr
        assert done.stdout == "resume: thaw (succeeded)\n"

    def test_one_that_failed_is_exit_1(self, server: Recorded, cli: Cli) -> None:
        failed = operation(status="failed", error="The storage is full.", finished_at="2025-05-06T07:09:09Z")
        server.answer(f"GET operations/{OPERATION}/", failed)
        done = cli("operation", "wait", OPERATION)
        assert done.returncode == 1
        assert "The storage is full." in done.stdout


class TestServer:
    @pytest.mark.parametrize(
        ("what", "path"),
        [
            ("m12", "/machines/m12/"),
            ("m12.c3", "/checkpoints/m12.c3/"),
            ("demo", "/?project=demo"),
            ("", "/"),
        ],
    )
    def test_open_prints_the_page_where_there_is_no_terminal(
        self, server: Recorded, cli: Cli, what: str, path: str
    ) -> None:
        assert cli("open", *([what] if what else [])).stdout == f"{server.url}{path}\n"

    def test_a_server_that_is_not_well_is_exit_1(self, server: Recorded, cli: Cli) -> None:
        details = {
            "parts": {"hub": "not connected", "web": "ok"},
            "queued": 0,
            "needs_operator": 0,
            "calls": 0,
        }
        server.answer("GET health/", {"status": "degraded", "at": "2025-05-06T07:09:09Z", "details": details})
        done = cli("health")
        assert done.returncode == 1
        assert "not connected" in done.stdout

    def test_it_says_who_you_are_and_what_the_token_allows(self, server: Recorded, cli: Cli) -> None:
        token = {"name": "ci", "rights": ["view_project"], "project": "demo", "expires_at": None}
        projects = [{"project": "demo", "role": "viewer", "rights": ["view_project"]}]
        me = {
            "username": "alice",
            "kind": "person",
            "administers": False,
            "token": token,
            "projects": projects,
        }
        server.answer("GET me/", me)
        shown = cli("me").stdout
        assert shown.startswith("alice\n")
        assert "which allows  view\n" in shown
        assert shown.rstrip().endswith("viewer")

    def test_profiles_are_listed_and_forgotten(self, server: Recorded, tmp_path: Path) -> None:
        server.answer("GET projects/", {"results": []})
        env = environment(tmp_path)
        run(("login", server.url, "--profile", "two"), env=env, stdin="av_two\n")
        assert "two" in run(("profiles",), env=env).stdout
        assert run(("projects",), env={**env, "AUTOVIBE_PROFILE": "two"}).returncode == 0
        assert run(("logout", "--profile", "two"), env=env).returncode == 0
        assert "two" not in run(("profiles",), env=env).stdout
        assert "av_two" not in (tmp_path / ".config" / "autovibe" / "config.json").read_text()


class TestPager:
    def test_what_is_longer_than_the_terminal_goes_through_it(
        self, server: Recorded, env: dict[str, str]
    ) -> None:
        rows = [machine(handle=f"m{number}") for number in range(100)]
        server.answer("GET machines/", {"results": rows, "next": None})
        paged = on_terminal(("machines", "--limit", "100"), {**env, "AUTOVIBE_PAGER": "sed s/^/paged:/"})
        assert paged.count("paged:") == 101
        server.answer("GET projects/", {"results": []})
        assert "paged:" not in on_terminal(("projects",), {**env, "AUTOVIBE_PAGER": "sed s/^/paged:/"})

    def test_a_pipe_gets_it_as_it_is(self, server: Recorded, env: dict[str, str]) -> None:
        server.answer("GET machines/", {"results": [machine()] * 100, "next": None})
        assert (
            run(("machines", "--limit", "100"), env={**env, "AUTOVIBE_PAGER": "false"}).stdout.count("\n")
            == 101
        )


class TestInstalledAlone:
    def test_its_wheel_is_the_whole_program(
        self, server: Recorded, tmp_path: Path, env: dict[str, str]
    ) -> None:
        """Made as `pip install ./cli` makes it, and run where there is nothing else."""
        server.answer("GET machines/", {"results": [machine()], "next": None})
        built = tmp_path / "built"
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(built),
             str(ROOT / "cli")],
            check=True, cwd=tmp_path,
        )  # fmt: skip
        (wheel,) = built.iterdir()
        venv.create(tmp_path / "fresh", with_pip=False)
        python = tmp_path / "fresh" / "bin" / "python"
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-index", str(wheel)],
            check=True,
        )
        program = tmp_path / "fresh" / "bin" / "autovibe"

        done = run(("machines", "--get", "results.0.handle"), env=env, cwd=tmp_path, program=program)
        assert (done.stdout, done.stderr) == ("m12\n", "")
        assert run(("pause", "m99"), env=env, cwd=tmp_path, program=program).returncode == 1
