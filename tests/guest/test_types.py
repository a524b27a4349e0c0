"""Machine types: what is in the box, and how strictly a file is read."""

import re
from pathlib import Path
from typing import Any

import pytest

from machines import guest, types

GOOD = """
name = "mine"
title = "Mine"
summary = "Does what I want."
good_at = ["things"]
command = 'mine --prompt "$AUTOVIBE_PROMPT_FILE"'
[environment]
URL = "{gateway}/v1"
KEY = "{token}"
"""


@pytest.fixture
def directory(tmp_path: Path, settings: Any) -> Path:
    settings.MACHINE_TYPES_DIR = str(tmp_path)
    return tmp_path


class TestGet:
    def test_four_types_come_with_the_house(self) -> None:
        assert [kind.name for kind in types.all()] == ["aider", "claude-code", "shell", "vibe"]

    def test_an_unknown_one_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(types.UnknownType, match="'hal'; there are aider, claude-code, shell, vibe"):
            types.get("hal")

    @pytest.mark.parametrize("kind", types.all(), ids=lambda kind: kind.name)
    def test_the_programs_a_command_needs_are_sent_along(self, kind: types.MachineType) -> None:
        named = set(re.findall(r"/opt/autovibe/([\w.]+)", kind.command + kind.resume_command))
        assert named == set(kind.programs)
        assert all(map(guest.source, kind.programs))

    def test_a_directory_of_ones_own_adds_types(self, directory: Path) -> None:
        (directory / "mine.toml").write_text(GOOD)
        assert types.get("mine").title == "Mine"
        assert types.get("vibe").title == "vibe"

    def test_a_directory_that_is_none_is_said(self, settings: Any) -> None:
        settings.MACHINE_TYPES_DIR = "/nowhere/at/all"
        with pytest.raises(types.InvalidType, match="not a directory"):
            types.all()


class TestEnvironment:
    def test_placeholders_are_filled_in_once_and_the_prompt_file_is_left_to_the_guest(
        self, directory: Path
    ) -> None:
        (directory / "mine.toml").write_text(GOOD + 'MODEL = "x/{model}"\nFILE = "{prompt_file}"\n')
        env = types.get("mine").environment_for(gateway="http://g", token="{model}", model="m")
        assert env == {"URL": "http://g/v1", "KEY": "{model}", "MODEL": "x/m", "FILE": "{prompt_file}"}


class TestParse:
    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (("title =", "titel ="), "the key 'titel' is not known"),
            (('title = "Mine"', ""), "the key 'title' is missing"),
            (('title = "Mine"', "title = 1"), "title is 1; expected text"),
            (('title = "Mine"', 'title = ""'), "expected text that is not empty"),
            (('name = "mine"', 'name = "other"'), "expected 'mine', as the file is called"),
            (('["things"]', '"things"'), "expected a list of texts"),
            (("{token}", "{password}"), "no braces but {gateway}, {token}, {model}, {prompt_file}"),
            (("{token}", "{token"), "no braces but"),
            (("KEY =", "3KEY ="), "a table of names and texts"),
            (("command =", 'checkpoints = "sometimes"\ncommand ='), "expected every_call or none"),
            (("command =", 'programs = ["rm.py"]\ncommand ='), "a list out of claude_log.py, "),
            (("command =", 'transcripts = ["../x"]\ncommand ='), "absolute paths"),
            (("command =", "command = ="), "mine.toml"),
        ],
    )
    def test_a_mistake_is_named(self, tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
        file = tmp_path / "mine.toml"
        file.write_text(GOOD.replace(*change))
        with pytest.raises(types.InvalidType, match=re.escape(complaint)) as caught:
            types.parse(file)
        assert str(caught.value).startswith("mine.toml: ")
