"""A stranger's script: the examples of README.md, run as they are printed there, against the whole of autovibe."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stack import ROOT, Stack

pytestmark = pytest.mark.e2e

SECTION = re.compile(r"^## Program it\n(.*?)^## ", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples() -> list[tuple[str, str]]:
    """The language and the text of each."""
    section = SECTION.search((ROOT / "README.md").read_text())
    assert section
    return BLOCK.findall(section[1])


@pytest.mark.parametrize(("language", "text"), examples(), ids=["command-line", "curl", "requests"])
def test_an_example_does_what_it_says(stack: Stack, tmp_path: Path, language: str, text: str) -> None:
    script = tmp_path / f"example.{language}"
    script.write_text(text)
    program = ["/bin/sh", "-eu"] if language == "sh" else [sys.executable]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AUTOVIBE_URL": stack.url,
        "AUTOVIBE_TOKEN": stack.token,
    }

    done = subprocess.run(
        [*program, str(script)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "def fizzbuzz" in done.stdout  # the file that the agent wrote
    assert re.search(r"\+.*7", done.stdout)  # what the branch changed


def test_each_is_about_ten_lines() -> None:
    assert [len(text.strip().splitlines()) <= 12 for _, text in examples()] == [True, True, True]
