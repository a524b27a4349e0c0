"""vibe, end to end: real files and real commands, with the offline model for a model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from machines import types
from machines.guest import source
from tests.guest.conftest import PROGRAMS, Gateway, Guest, OfflineModel, eventually

FIZZBUZZ = "Write a fizzbuzz with tests and make them pass"


def vibe(
    guest: Guest, model: OfflineModel, prompt: str, *options: str, **env: str
) -> subprocess.CompletedProcess[str]:
    file = guest.root / "prompt.txt"
    file.write_text(prompt)
    env = guest.env(ANTHROPIC_BASE_URL=model.url, ANTHROPIC_AUTH_TOKEN="avm_secret", **env)
    command = [sys.executable, str(PROGRAMS / "vibe.py"), "--prompt-file", str(file), *options]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def transcript(guest: Guest) -> Path:
    return guest.state / "vibe/transcript.jsonl"


def messages(guest: Guest) -> list[dict[str, Any]]:
    return [json.loads(line) for line in transcript(guest).read_text().splitlines()]


def error(status: int, sentence: str, **headers: str) -> web.Response:
    body = {"type": "error", "error": {"type": "some_error", "message": sentence}}
    return web.json_response(body, status=status, headers=headers)


class TestWork:
    def test_it_writes_a_program_finds_its_mistake_and_mends_it(
        self, guest: Guest, model: OfflineModel
    ) -> None:
        done = vibe(guest, model, FIZZBUZZ)
        assert done.returncode == 0, done.stdout
        assert "FAILED (failures=1)" in done.stdout
        assert "vibe: turn 5 · run `python3 -m unittest -v test_fizzbuzz`" in done.stdout
        assert "vibe: finished after 6 turns" in done.stdout
        checked = subprocess.run(
            [sys.executable, "-m", "unittest", "test_fizzbuzz"], cwd=guest.workspace, check=False
        )
        assert checked.returncode == 0

    def test_a_later_prompt_goes_on_with_the_conversation(self, guest: Guest, model: OfflineModel) -> None:
        vibe(guest, model, FIZZBUZZ)
        done = vibe(guest, model, "Now make it buzz at 7", "--resume")
        assert done.returncode == 0, done.stdout
        assert "BUZZ = 7" in (guest.workspace / "fizzbuzz.py").read_text()
        assert [one["role"] for one in messages(guest)] == ["user", "assistant"] * 11

    def test_without_resume_it_begins_anew_and_keeps_the_old_transcript_aside(
        self, guest: Guest, model: OfflineModel
    ) -> None:
        vibe(guest, model, "Tidy up")
        vibe(guest, model, "Tidy up again")
        assert messages(guest)[0]["content"][0]["text"] == "Tidy up again"
        assert transcript(guest).with_name("transcript.jsonl.previous").exists()

    def test_commands_do_not_see_the_token(self, guest: Guest, model: OfflineModel) -> None:
        model.refusals.append(called("run", command="env"))
        vibe(guest, model, "Look around")
        assert "avm_secret" not in transcript(guest).read_text()

    def test_a_slow_command_is_killed_and_the_model_told(self, guest: Guest, model: OfflineModel) -> None:
        model.refusals.append(called("run", command="echo before; sleep 60", timeout=1))
        vibe(guest, model, "Wait")
        assert "before\n[killed: it took longer than 1 s]" in messages(guest)[2]["content"][0]["content"]

    def test_what_a_command_leaves_in_the_background_does_not_keep_it_waiting(
        self, guest: Guest, model: OfflineModel
    ) -> None:
        model.refusals.append(called("run", command="sleep 2 & echo started", timeout=60))
        vibe(guest, model, "Serve")
        assert messages(guest)[2]["content"][0]["content"] == "started\n[exit code 0]"

    def test_long_output_keeps_its_head_and_its_tail(self, guest: Guest, model: OfflineModel) -> None:
        model.refusals.append(called("run", command="seq 1 1000000"))
        vibe(guest, model, "Count")
        said = messages(guest)[2]["content"][0]["content"]
        assert said.startswith("1\n2\n")
        assert said.endswith("1000000\n[exit code 0]")
        assert len(said) < 20_000

    @pytest.mark.parametrize(
        ("name", "arguments"), [("fly", {}), ("run", {"cmd": "ls"}), ("write_file", {"path": "."})]
    )
    def test_a_call_that_makes_no_sense_is_answered_with_an_error(
        self, guest: Guest, model: OfflineModel, name: str, arguments: dict[str, str]
    ) -> None:
        model.refusals.append(called(name, **arguments))
        assert vibe(guest, model, "Try").returncode == 0
        assert messages(guest)[2]["content"][0]["is_error"] is True

    def test_an_answer_cut_off_at_the_token_limit_is_gone_on_with(
        self, guest: Guest, model: OfflineModel
    ) -> None:
        model.refusals.append(called("write_file", stop_reason="max_tokens", path="half"))
        assert vibe(guest, model, FIZZBUZZ).returncode == 0
        assert "cut off" in messages(guest)[2]["content"][0]["text"]
        assert (guest.workspace / "fizzbuzz.py").exists()

    def test_its_turns_are_limited(self, guest: Guest, model: OfflineModel) -> None:
        done = vibe(guest, model, FIZZBUZZ, VIBE_MAX_TURNS="2")
        assert done.returncode == 3
        assert "2 turns were not enough" in done.stdout


def called(name: str, stop_reason: str = "tool_use", **arguments: Any) -> web.Response:
    """An answer, not streamed, that calls one tool."""
    content = [{"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}]
    return web.json_response({"role": "assistant", "content": content, "stop_reason": stop_reason})


class TestResume:
    def test_a_turn_cut_short_is_healed(self, guest: Guest, model: OfflineModel) -> None:
        vibe(guest, model, FIZZBUZZ)
        whole = transcript(guest).read_text().splitlines(keepends=True)
        transcript(guest).write_text("".join(whole[:4]) + '{"role": "user", "con')
        done = vibe(guest, model, "", "--resume")
        assert done.returncode == 0, done.stdout
        healed = messages(guest)[4]["content"]
        assert [(block["type"], block.get("is_error")) for block in healed] == [("tool_result", True)]
        assert "its tests pass" in messages(guest)[-1]["content"][0]["text"]

    def test_a_new_prompt_joins_the_healing(self, guest: Guest, model: OfflineModel) -> None:
        vibe(guest, model, FIZZBUZZ)
        transcript(guest).write_text("".join(transcript(guest).read_text().splitlines(keepends=True)[:2]))
        vibe(guest, model, "Now make it buzz at 7", "--resume")
        assert [block["type"] for block in messages(guest)[2]["content"]] == ["tool_result", "text"]

    def test_the_prompt_it_is_already_working_on_is_not_said_twice(
        self, guest: Guest, model: OfflineModel
    ) -> None:
        model.refusals.append(error(402, "The budget of this machine is used up."))
        vibe(guest, model, FIZZBUZZ)
        vibe(guest, model, FIZZBUZZ, "--resume")
        assert [one["role"] for one in messages(guest)] == ["user", "assistant"] * 6

    def test_a_finished_task_without_a_new_prompt_is_left_alone(
        self, guest: Guest, model: OfflineModel
    ) -> None:
        vibe(guest, model, "Tidy up")
        asked = len(model.requests)
        done = vibe(guest, model, "", "--resume")
        assert (done.returncode, len(model.requests)) == (0, asked)


class TestCall:
    def test_a_spent_budget_ends_it_at_once_with_the_sentence(
        self, guest: Guest, model: OfflineModel
    ) -> None:
        model.refusals.append(error(402, "The budget of this machine is used up."))
        done = vibe(guest, model, FIZZBUZZ)
        assert done.returncode == 2
        assert "The budget of this machine is used up." in done.stdout
        assert len(model.requests) == 1

    @pytest.mark.parametrize("status", [429, 500, 529])
    def test_what_passes_is_tried_again_when_the_other_side_says(
        self, guest: Guest, model: OfflineModel, status: int
    ) -> None:
        model.refusals.append(error(status, "Busy.", **{"retry-after": "1"}))
        done = vibe(guest, model, "Tidy up")
        assert done.returncode == 0
        assert f"no answer yet ({status}: Busy.); trying again in 1 s" in done.stdout

    def test_a_stream_that_breaks_off_is_asked_for_again(self, guest: Guest, model: OfflineModel) -> None:
        broken = b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n'
        model.refusals.append(web.Response(body=broken, content_type="text/event-stream"))
        assert vibe(guest, model, "Tidy up").returncode == 0
        assert len(model.requests) == 4

    @pytest.mark.parametrize(("status", "headers"), [(401, {}), (400, {}), (429, {"retry-after": "3600"})])
    def test_what_does_not_pass_ends_it(
        self, guest: Guest, model: OfflineModel, status: int, headers: dict[str, str]
    ) -> None:
        model.refusals.append(error(status, "No.", **headers))
        done = vibe(guest, model, "Tidy up")
        assert done.returncode == 1
        assert f"{status}: No." in done.stdout
        assert len(model.requests) == 1


class TestUnderTheRunner:
    def test_the_machine_type_s_commands_run_it_and_resume_it(
        self, guest: Guest, gateway: Gateway, model: OfflineModel
    ) -> None:
        kind = types.get("vibe")
        env = kind.environment_for(gateway=model.url, token="avm_secret", model=kind.default_model)
        common: dict[str, Any] = {
            "gateway": gateway.url,
            "env": env,
            "install_check": kind.install_check,
            "transcripts": list(kind.transcripts),
            "programs": [{"path": "/opt/autovibe/vibe.py", "content": source("vibe.py")}],
        }
        for command, resume, prompt in (
            (kind.command, False, FIZZBUZZ),
            (kind.resume_command, True, "Buzz at 7 now"),
        ):
            gateway.reports.clear()
            bundle = guest.bundle(command, resume=resume, prompt=prompt, **common)
            guest.tell("apply", bundle)
            guest.tell("start", bundle)
            ended = eventually(gateway.ended)
            assert ended["exit_code"] == 0, gateway.lines()
            eventually(lambda: guest.tell("status")["unsent"] == 0)
        assert "BUZZ = 7" in (guest.workspace / "fizzbuzz.py").read_text()
        assert model.requests[0]["model"] == "claude-sonnet-4-5"
        assert any("finished after 11 turns" in text for text in gateway.texts())
