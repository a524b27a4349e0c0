"""bin/audit-dependencies, with tools that answer as pip-audit and npm do; what they know is not for us to test."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

CLEAN = {
    "pip-audit": """echo '{"dependencies": [], "fixes": []}'""",
    "npm": """echo '{"auditReportVersion": 2, "vulnerabilities": {}}'""",
}
HOLED = {
    "pip-audit": """echo '{"dependencies": [{"name": "leaky"}]}'; exit 1""",
    "npm": """echo '{"auditReportVersion": 2, "vulnerabilities": {"leaky": {}}}'; exit 1""",
}
AWAY = {
    "pip-audit": "echo 'ERROR: Connection refused' >&2; exit 1",
    "npm": """echo '{"error": {"code": "ENOTFOUND"}}'; exit 1""",
}
TOOLS = ["pip-audit", "npm"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    for name in (
        "bin/audit-dependencies",
        "bin/_env",
        "constraints.txt",
        "package.json",
        "package-lock.json",
    ):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def audit(checkout: Path, tools: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    beside = checkout / "tools"
    beside.mkdir(exist_ok=True)
    for name, script in tools.items():
        (beside / name).write_text(f"#!/bin/sh\n{script}\n")
        (beside / name).chmod(0o755)
    return subprocess.run(
        [checkout / "bin" / "audit-dependencies", *arguments],
        env={"PATH": f"{beside}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


def test_nothing_known_is_well(checkout: Path) -> None:
    done = audit(checkout, CLEAN, "--strict")

    assert (done.returncode, done.stdout) == (
        0,
        "Python packages: no known holes.\nnpm packages: no known holes.\n",
    )


@pytest.mark.parametrize("tool", TOOLS)
def test_a_known_hole_fails_and_is_shown(checkout: Path, tool: str) -> None:
    done = audit(checkout, {**CLEAN, tool: HOLED[tool]})

    assert done.returncode == 1
    assert "leaky" in done.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_that_nobody_can_be_asked_is_said_and_fails_only_when_strict(checkout: Path, tool: str) -> None:
    tools = {**CLEAN, tool: AWAY[tool]}

    assert "could not be asked about" in audit(checkout, tools).stdout
    assert audit(checkout, tools).returncode == 0
    assert audit(checkout, tools, "--strict").returncode == 1
