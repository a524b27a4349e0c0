"""bin/assets: what it does without a network. That it fetches, every fresh checkout shows."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCK = json.loads((ROOT / "package-lock.json").read_text())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with what bin/assets reads, and nothing fetched."""
    (tmp_path / "bin").mkdir()
    for name in ("bin/assets", "bin/_env", "package.json", "package-lock.json", ".npmrc", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(checkout: Path, npm: str) -> subprocess.CompletedProcess[str]:
    """Run it with `npm`, a script, as the npm on the PATH."""
    tools = checkout / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "npm").write_text(f"#!/bin/sh\n{npm}\n")
    (tools / "npm").chmod(0o755)
    path = f"{tools}:/usr/bin:/bin"
    return subprocess.run([checkout / "bin" / "assets"], env={"PATH": path}, capture_output=True, text=True)


# What npm leaves behind, as far as bin/assets looks.
LEAVES_MODULES = r"""
for file in htmx.org/dist/htmx.min.js htmx.org/LICENSE \
    uplot/dist/uPlot.iife.min.js uplot/dist/uPlot.min.css uplot/LICENSE \
    @xterm/xterm/lib/xterm.mjs @xterm/xterm/css/xterm.css @xterm/xterm/LICENSE \
    @xterm/addon-fit/lib/addon-fit.mjs @xterm/addon-fit/LICENSE; do
    mkdir -p "$(dirname "node_modules/$file")" && echo "$*" >"node_modules/$file"
done
"""


class TestTheLockFile:
    def test_it_pins_every_package_by_digest_and_names_no_host(self) -> None:
        packages = {path: package for path, package in LOCK["packages"].items() if path}

        assert packages
        assert all(package["integrity"].startswith("sha512-") for package in packages.values())
        assert not any("resolved" in package for package in packages.values())


class TestFetching:
    def test_no_script_of_a_package_is_run(self, checkout: Path) -> None:
        run(checkout, LEAVES_MODULES)

        said = (checkout / "static" / "vendor" / "xterm" / "xterm.mjs").read_text()
        assert said.split()[:2] == ["ci", "--ignore-scripts"]

    def test_it_is_done_once(self, checkout: Path) -> None:
        run(checkout, LEAVES_MODULES)

        again = run(checkout, "exit 1")

        assert (again.returncode, again.stderr) == (0, "")

    def test_another_lock_file_is_fetched_anew(self, checkout: Path) -> None:
        run(checkout, LEAVES_MODULES)
        (checkout / "package-lock.json").write_text(json.dumps({**LOCK, "version": "2"}))

        assert run(checkout, "exit 1").returncode == 1

    def test_a_failure_says_what_to_do(self, checkout: Path) -> None:
        failed = run(checkout, "echo no network >&2; exit 1")

        assert failed.returncode == 1
        assert "no network" in failed.stderr
        assert "Running bin/assets again" in failed.stderr
