"""A run answered from its record: nobody is asked, nothing is paid, and what is not in the record is said to be so."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone

from budgets import actions as budgets
from budgets.models import LedgerEntry
from events.models import Event
from gateway import actions, recordings
from gateway import replay as replay_module
from gateway.models import Call, Recording, Replayed
from guests.models import Guest
from machines import tokens
from machines.models import Machine, MachineFile
from machines.states import State
from projects.errors import Conflict
from tests.gateway import provider as upstream
from tests.gateway import servers

Speak = Callable[..., requests.Response]
FIRST = [{"role": "user", "content": "Say hello."}]
SECOND = [*FIRST, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "And now?"}]


@pytest.fixture(autouse=True)
def _no_policy_is_remembered():
    recordings._policies.clear()


@pytest.fixture
def run(provider, call, machine) -> Machine:
    """A machine that made two calls, a stream and a whole answer, and ended."""
    call(stream=True, messages=FIRST).content  # noqa: B018
    call(messages=SECOND)
    servers.until(lambda: Recording.objects.count() == 2)
    Machine.objects.filter(pk=machine.pk).update(state=State.TERMINATED)
    machine.refresh_from_db()
    return machine


@pytest.fixture
def replay(run, provider, gateway) -> Callable[..., Speak]:
    """A machine that replays it, and a way to speak for its agent."""

    def make(**how: Any) -> Speak:
        provider.received.clear()
        machine = Machine.objects.create(
            number=13,
            project=run.project,
            type="shell",
            prompt=run.prompt,
            source=run.source,
            guest=Guest.objects.create(project=run.project, vmid=10_001, node="embedded"),
            wall_seconds=60,
            state=State.RUNNING,
            replays=run,
            **how,
        )
        headers = {"authorization": f"Bearer {tokens.mint(machine)}", "anthropic-version": "2023-06-01"}

        def speak(messages: Any, path: str = "messages", **more: Any) -> requests.Response:
            body = {"model": "claude-sonnet-4-5", "max_tokens": 1500, "messages": messages, **more}
            return requests.post(f"{gateway}/v1/{path}", json=body, headers=headers, timeout=30)

        return speak

    return make


def replaying() -> Machine:
    return Machine.objects.get(number=13)


class TestReplay:
    def test_the_answers_are_those_of_the_record_and_no_upstream_is_asked(self, replay, provider):
        speak = replay()
        first, second = speak(FIRST, stream=True), speak(SECOND)

        assert first.content == upstream.STREAM
        assert first.headers["content-type"] == "text/event-stream"
        assert first.headers["x-autovibe-replay"] == "m12/1"
        assert second.json() == upstream.WHOLE
        assert provider.received == []

    def test_it_costs_nothing_but_calls(self, replay, run):
        spent = LedgerEntry.objects.count()
        speak = replay()
        speak(FIRST, stream=True)
        speak(SECOND)

        entries = servers.until(
            lambda: (made := LedgerEntry.objects.filter(machine_id=replaying().id)).count() == 2 and made
        )
        assert [(one.micros, one.calls, one.output_tokens) for one in entries] == [(0, 1, 0), (0, 1, 0)]
        assert LedgerEntry.objects.count() == spent + 2

    def test_parallel_calls_may_come_in_another_order(self, replay):
        speak = replay()

        assert speak(SECOND).json() == upstream.WHOLE
        assert speak(FIRST, stream=True).content == upstream.STREAM

    def test_ids_times_and_names_of_the_machine_make_no_difference(
        self, provider, call, machine, replay, run
    ):
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
        result = "m12: built in 0.31s at 14:02:11 on 2031-05-06 in /tmp/tmpa8xk2, commit 3fa9c41"
        other = "m13: built in 2.20s at 09:10:00 on 2031-06-01 in /tmp/tmpq93z, commit 0b7711f"
        call(messages=conversation("toolu_01AAAAAA", result), metadata={"user_id": "one"})
        servers.until(lambda: Recording.objects.count() == 3)
        speak = replay()

        answer = speak(conversation("toolu_01BBBBBB", other), metadata={"user_id": "two"})
        assert (answer.status_code, answer.headers["x-autovibe-replay"]) == (200, "m12/3")

    def test_while_the_record_is_searched_calls_of_all_others_are_let_in(
        self, replay, machine, token, gateway, monkeypatch
    ):
        """The second call of the replay waits for the first; nobody else does."""
        searching, found = threading.Event(), threading.Event()
        replayable = replay_module.record.replayable

        def slowly(original: Machine) -> Any:
            searching.set()
            assert found.wait(20)
            return replayable(original)

        monkeypatch.setattr(replay_module.record, "replayable", slowly)
        speak = replay()
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
        with ThreadPoolExecutor(2) as agents:
            try:
                first = agents.submit(speak, SECOND)
                assert searching.wait(10)
                second = agents.submit(speak, SECOND)
                servers.until(lambda: Call.objects.filter(machine=replaying()).count() == 2)
                body = {"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": FIRST}
                answer = requests.post(
                    f"{gateway}/v1/messages", json=body, headers={"x-api-key": token}, timeout=10
                )
                assert answer.status_code == 200
            finally:
                found.set()
            assert [first.result(20).status_code, second.result(20).status_code] == [200, 200]

    def test_an_agent_that_asks_again_gets_the_same_again(self, replay):
        speak = replay()

        assert [speak(SECOND).json() for _ in range(3)] == [upstream.WHOLE] * 3

    def test_an_answer_that_was_refused_then_is_refused_now_unless_it_was_asked_again(
        self, provider, call, machine, replay, run
    ):
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
        third = [{"role": "user", "content": "Too long."}]
        provider.answer = upstream.refusing(529, "overloaded_error")
        call(messages=third)
        provider.answer = upstream.refusing(400, "invalid_request_error")
        call(messages=third)
        provider.answer = None
        servers.until(lambda: Recording.objects.count() == 4)

        answer = replay()(third)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")

    def test_an_answer_that_broke_off_breaks_off(self, provider, call, machine, replay, run):
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
        provider.answer = upstream.cut_off
        third = [{"role": "user", "content": "Third."}]
        with pytest.raises(requests.RequestException):
            call(stream=True, messages=third).content  # noqa: B018
        servers.until(lambda: Recording.objects.count() == 3)
        speak = replay()

        with pytest.raises(requests.RequestException):
            speak(third, stream=True)

    def test_neither_models_nor_token_counts_are_asked_of_anybody(self, replay, provider, gateway):
        speak = replay()

        assert speak(FIRST, "messages/count_tokens").json()["input_tokens"] > 0
        assert provider.received == []

    def test_what_was_spoken_after_a_rollback_goes_before_what_became_void(
        self, provider, call, machine, replay, run
    ):
        Machine.objects.filter(pk=machine.pk).update(
            state=State.RUNNING, run="11111111-1111-4111-8111-111111111111"
        )
        provider.answer = upstream.refusing(400, "another_answer")
        call(messages=SECOND)
        servers.until(lambda: Recording.objects.count() == 3)

        assert replay()(SECOND).json()["error"]["type"] == "another_answer"

    def test_with_pace_it_takes_as_long_as_it_took(self, provider, call, machine, replay, run):
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
        provider.answer = slowly
        third = [{"role": "user", "content": "Slowly."}]
        call(stream=True, messages=third).content  # noqa: B018
        servers.until(lambda: Recording.objects.count() == 3)

        speak = replay(replays_paced=True)
        began = time.monotonic()
        assert speak(third, stream=True).content == upstream.STREAM
        assert time.monotonic() - began >= 0.4


class TestDeparture:
    def test_the_agent_is_told_and_its_machine_ends_with_the_first_difference(self, replay):
        speak = replay()
        speak(FIRST, stream=True)
        answer = speak([*SECOND[:2], {"role": "user", "content": "And then?"}])

        assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")
        sentence = answer.json()["error"]["message"]
        assert "Call 2 departs from call 2 of m12: messages.2.content reads “And then?”" in sentence
        assert "in the record “And now?”" in sentence
        assert "--lenient" in sentence
        machine = replaying()
        assert (machine.state, machine.exit_code, machine.sentence) == (State.STOPPING, 1, sentence)

    @pytest.mark.parametrize("lenient", [False, True])
    def test_what_no_database_can_keep_is_told_all_the_same(self, replay, lenient):
        answer = replay(replays_leniently=lenient)([{"role": "user", "content": "a\0b\ud800", "\ud800": 1}])
        assert answer.status_code == (200 if lenient else 409)
        if not lenient:
            assert replaying().state == State.STOPPING

    def test_a_call_past_the_end_of_the_record_departs(self, replay):
        speak = replay()
        speak(FIRST, stream=True)
        speak(SECOND)

        sentence = speak([*SECOND, {"role": "assistant", "content": "x"}]).json()["error"]["message"]
        assert sentence.startswith("Call 3 departs from the record of m12, which ends before it.")

    def test_a_lenient_one_goes_on_with_the_next_answer_and_notes_it(self, replay):
        speak = replay(replays_leniently=True)

        assert speak([{"role": "user", "content": "Say good-bye."}], stream=True).content == upstream.STREAM
        assert speak([{"role": "user", "content": "Whatever."}]).json() == upstream.WHOLE
        assert speak(FIRST).status_code == 409
        noted = Replayed.objects.order_by("call__number").values_list("original__number", "departure")
        assert [number for number, _ in noted] == [1, 2]
        assert "good-bye" in noted[0][1]
        assert replaying().state == State.STOPPING

    def test_an_agent_that_was_quicker_than_the_worker_ends_too(self, replay):
        speak = replay()
        Machine.objects.filter(number=13).update(state=State.PROVISIONING)
        speak([{"role": "user", "content": "Something else."}])

        machine = replaying()
        assert (machine.state, machine.exit_code) == (State.PROVISIONING, 1)
        assert machine.sentence.startswith("Call 1 departs")

    def test_a_recording_that_was_tampered_with_ends_it(self, replay):
        kept = Recording.objects.get(call__number=2)
        *whole, last = bytes(kept.request)
        Recording.objects.filter(pk=kept.pk).update(request=bytes([*whole, last ^ 1]))
        speak = replay()

        assert speak(FIRST, stream=True).ok
        assert speak(SECOND).status_code == 409
        assert replaying().sentence.startswith("The record cannot be read: Call 2:")

    def test_the_dialect_of_openai_is_told_in_its_own_shape(self, replay):
        answer = replay()(FIRST, "chat/completions")

        assert answer.status_code == 409
        assert "departs from" in answer.json()["error"]["message"]


class TestRedacted:
    def test_a_redacted_record_answers_an_agent_that_says_the_secret_again(
        self, provider, call, machine, owner, replay
    ):
        actions.set_recording(machine.project, mode="redacted", days=7, by=owner)
        recordings._policies.clear()
        Machine.objects.filter(pk=machine.pk).update(state=State.RUNNING)
        secret = [{"role": "user", "content": "Use password='correct-horse' at https://me:horse@db/"}]
        call(messages=secret)
        servers.until(lambda: Recording.objects.filter(mode="redacted").exists())

        assert replay()(secret).headers["x-autovibe-replay"] == "m12/3"


class TestSpawn:
    @pytest.fixture
    def by(self, owner, run, settings):
        settings.PROXMOX_VMID_FIRST = 20_000
        MachineFile.objects.create(machine=run, path="a.txt", content=b"a", mode=0o600)
        return owner

    def test_it_starts_as_the_first_did(self, run, by):
        made = actions.replay(run, by=by, paced=True)

        assert (made.prompt, made.type, made.source, made.replays) == (run.prompt, run.type, run.source, run)
        assert (made.replays_leniently, made.replays_paced) == (False, True)
        assert Event.objects.get(kind="machine.requested").data["replays"] == "m12"
        assert [(one.path, bytes(one.content), one.mode) for one in made.files.all()] == [
            ("a.txt", b"a", 0o600)
        ]

    def test_the_replay_of_a_replay_is_one_of_the_first(self, run, by):
        made = actions.replay(run, by=by)
        assert actions.replay(made, by=by).replays == run

    def test_it_needs_no_money(self, run, by):
        spent = sum(LedgerEntry.objects.values_list("micros", flat=True))
        budgets.set_limit(run.project, "money", spent, by=by)
        assert actions.replay(run, by=by).replays == run

    def test_one_that_still_runs_is_refused(self, run, by):
        run.state = State.RUNNING
        with pytest.raises(Conflict, match="has not ended"):
            actions.replay(run, by=by)

    def test_a_record_with_a_gap_is_refused_and_the_call_is_named(self, run, by):
        Recording.objects.filter(call__number=2).update(expires_at=timezone.now() - timedelta(days=1))
        recordings.prune()

        with pytest.raises(Conflict, match="Call 2 of m12 is not in the record"):
            actions.replay(run, by=by)

    def test_without_any_call_there_is_nothing_to_replay(self, run, by):
        Call.objects.all().delete()
        with pytest.raises(Conflict, match="nothing to replay"):
            actions.replay(run, by=by)

    def test_under_another_secret_key_it_is_refused(self, run, by, settings):
        settings.SECRET_KEY = "another-key-" + "z" * 40
        with pytest.raises(Conflict, match="SECRET_KEY_FALLBACKS"):
            actions.replay(run, by=by)


def conversation(tool_id: str, result: str) -> list[dict[str, Any]]:
    use = {"type": "tool_use", "id": tool_id, "name": "run", "input": {"command": "make"}}
    told = {"type": "tool_result", "tool_use_id": tool_id, "content": result}
    return [*FIRST, {"role": "assistant", "content": [use]}, {"role": "user", "content": [told]}]


async def slowly(request: Any) -> Any:
    response = await upstream.begin(request)
    for chunk in [*upstream.beginning(), *upstream.middle()]:
        await response.write(chunk)
    await asyncio.sleep(0.5)
    for chunk in upstream.end():
        await response.write(chunk)
    return response
