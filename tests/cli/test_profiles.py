"""Which server a command speaks to, and running it from anywhere."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.cli.recorded import ROOT, TOKEN, Recorded, environment, run


@pytest.fixture
def projects(server: Recorded) -> Recorded:
    server.answer("GET projects/", {"results": []})
    return server


def token_shown(server: Recorded) -> str:
    return server.asked[-1].headers["Authorization"]


class TestFind:
    def test_with_none_it_says_what_to_do(self, tmp_path: Path) -> None:
        done = run(("machines",), env=environment(tmp_path))
        assert done.returncode == 1
        assert "bin/dev" in done.stderr
        assert "bin/autovibe login https://" in done.stderr

    def test_half_an_environment_is_refused(self, tmp_path: Path) -> None:
        done = run(("machines",), env=environment(tmp_path, AUTOVIBE_URL="http://127.0.0.1:1"))
        assert done.returncode == 1
        assert "AUTOVIBE_TOKEN" in done.stderr

    def test_an_address_without_a_scheme_is_refused(self, tmp_path: Path) -> None:
        env = environment(tmp_path, AUTOVIBE_URL="autovibe.example.com", AUTOVIBE_TOKEN=TOKEN)
        assert "is not an address such as https://" in run(("machines",), env=env).stderr

    def test_the_server_of_bin_dev_is_found(self, projects: Recorded, tmp_path: Path) -> None:
        (tmp_path / "var").mkdir()
        (tmp_path / "var" / "cli.json").write_text(json.dumps({"url": projects.url, "token": "av_local"}))
        assert run(("projects",), env=environment(tmp_path)).returncode == 0
        assert token_shown(projects) == "Bearer av_local"

    def test_the_environment_comes_before_it(self, projects: Recorded, tmp_path: Path) -> None:
        (tmp_path / "var").mkdir()
        (tmp_path / "var" / "cli.json").write_text(
            json.dumps({"url": "http://127.0.0.1:9", "token": "av_local"})
        )
        env = environment(tmp_path, AUTOVIBE_URL=f"{projects.url}/", AUTOVIBE_TOKEN=TOKEN)
        assert run(("projects",), env=env).returncode == 0
        assert token_shown(projects) == f"Bearer {TOKEN}"


class TestLogin:
    def test_it_keeps_a_token_that_works_for_its_owner_only(self, projects: Recorded, tmp_path: Path) -> None:
        env = environment(tmp_path)
        done = run(("login", projects.url), env=env, stdin="av_mine\n")
        assert done.returncode == 0, done.stderr
        config = tmp_path / ".config" / "autovibe" / "config.json"
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert [file.name for file in config.parent.iterdir()] == ["config.json"]
        assert run(("projects",), env=env).returncode == 0
        assert token_shown(projects) == "Bearer av_mine"

    def test_profiles_stand_side_by_side(self, projects: Recorded, tmp_path: Path) -> None:
        env = environment(tmp_path)
        run(("login", projects.url), env=env, stdin="av_one\n")
        run(("login", projects.url, "--profile", "two"), env=env, stdin="av_two\n")
        run(("--profile", "two", "projects"), env=env)
        assert token_shown(projects) == "Bearer av_two"
        run(("projects",), env=env)
        assert token_shown(projects) == "Bearer av_one"

    def test_an_unknown_profile_says_how_to_make_it(self, tmp_path: Path) -> None:
        done = run(("projects", "--profile", "three"), env=environment(tmp_path))
        assert done.returncode == 1
        assert "login URL --profile three" in done.stderr

    def test_a_token_that_is_refused_is_not_kept(self, server: Recorded, tmp_path: Path) -> None:
        server.refuse("GET projects/", 401, "This API token is unknown, expired or revoked.")
        done = run(("login", server.url), env=environment(tmp_path), stdin="av_typo\n")
        assert done.returncode == 1
        assert not (tmp_path / ".config").exists()


class TestProgram:
    def test_it_runs_from_anywhere_and_through_a_symlink(self, projects: Recorded, tmp_path: Path) -> None:
        (tmp_path / "json.py").write_text("raise SystemExit('a file of the user is not a module of ours')")
        link = tmp_path / "deep" / "av"
        link.parent.mkdir()
        link.symlink_to(os.path.relpath(ROOT / "bin" / "autovibe", link.parent))
        env = environment(tmp_path, AUTOVIBE_URL=projects.url, AUTOVIBE_TOKEN=TOKEN)
        done = run(("projects",), env=env, cwd=tmp_path, program=link)
        assert done.returncode == 0, done.stderr

    def test_it_needs_no_virtual_environment(self, tmp_path: Path) -> None:
        copy = tmp_path / "copy of it"
        shutil.copytree(ROOT / "cli", copy / "cli", ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "bin").mkdir()
        shutil.copy(ROOT / "bin" / "autovibe", copy / "bin")
        done = run(("version",), env=environment(tmp_path), program=copy / "bin" / "autovibe", cwd=tmp_path)
        assert done.stdout.startswith("autovibe "), done.stderr
