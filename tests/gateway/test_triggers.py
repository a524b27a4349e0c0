"""Checkpoints by policy: at which calls, before which tools, and how the answer waits for them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from budgets import actions as budgets
from checkpoints.models import Checkpoint, Effect, Rules
from checkpoints.states import State
from events import actions as events
from events.models import Event
from gateway import calls
from gateway.dialects.tools import ToolCall
from gateway.models import Call
from machines.models import Machine
from tests.gateway import provider as playing
from tests.gateway.conftest import Call as Calling
from tests.gateway.provider import STREAM, Provider
from tests.gateway.servers import until
from tests.gateway.toolcalls import messages_stream

pytestmark = pytest.mark.django_db(transaction=True)

RISKY = ToolCall("toolu_1", "Bash", {"command": "rm -rf build"})
HARMLESS = ToolCall("toolu_1", "Bash", {"command": "ls"})
ELSEWHERE = {"calls": 0, "before": []}


def asks(machine: Machine, **policy: object) -> None:
    """The machine, of a type with checkpoints, and with this policy of its own."""
    Machine.objects.filter(pk=machine.pk).update(type="claude-code", checkpoints={**ELSEWHERE, **policy})


def taken() -> list[Checkpoint]:
    return list(Checkpoint.objects.exclude(kind="genesis").order_by("created_at"))


def captured(checkpoint: Checkpoint) -> None:
    """What a worker does at the end of taking it."""
    checkpoint.move(State.CAPTURED, captured_at=timezone.now())
    events.record("checkpoint.captured", subject=checkpoint.subject, project_id=checkpoint.project_id)


@pytest.fixture
def worker() -> Iterator[None]:
    """Somebody who takes every checkpoint as soon as it is asked for."""
    stopped = threading.Event()

    def work() -> None:
        while not stopped.wait(0.02):
            for checkpoint in Checkpoint.objects.filter(state=State.REQUESTED):
                captured(checkpoint)

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        yield
        stopped.set()
        working.result(10)


def answering(*called: ToolCall) -> playing.Handler:
    """A model that has those tools used."""

    async def answer(request: playing.web.Request) -> playing.web.StreamResponse:
        response = await playing.begin(request)
        for event in messages_stream(*called):
            await response.write(event)
        return response

    return answer


def executed(call: ToolCall, **result: Any) -> list[dict[str, Any]]:
    """A conversation in which it was."""
    use = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
    done = {"type": "tool_result", "tool_use_id": call.id, "content": "done", **result}
    return [
        {"role": "user", "content": "Do it."},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [done]},
    ]


class TestAtCalls:
    def test_every_third_call(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        asks(machine, calls=3)
        for _ in range(7):
            assert call().status_code == 200
        assert [one.call_number for one in taken()] == [1, 4, 7]
        assert [one.why for one in taken()] == ["Before the first call", "After answer 3", "After answer 6"]
        assert {one.trigger for one in taken()} == {"call"}

    def test_the_project_says_it_for_all_its_machines(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        Rules.objects.create(project=machine.project, policy={"calls": 2})
        for _ in range(3):
            call()
        assert [one.call_number for one in taken()] == [1, 3]

    def test_and_the_machine_goes_before_it(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        Rules.objects.create(project=machine.project, policy={"calls": 2})
        asks(machine, calls=0)
        call()
        assert taken() == []

    def test_minutes(self, machine: Machine, provider: Provider, call: Calling, worker: None) -> None:
        asks(machine, minutes=10)
        call()
        call()
        assert [one.call_number for one in taken()] == [1]
        Checkpoint.objects.filter(pk=taken()[0].pk).update(created_at=timezone.now() - timedelta(minutes=11))
        call()
        assert [one.trigger for one in taken()] == ["minutes", "minutes"]
        assert taken()[1].call_number == 3

    def test_per_cent_of_a_budget(
        self, machine: Machine, provider: Provider, call: Calling, worker: None, owner: Any
    ) -> None:
        budgets.set_limit(machine.project, "calls", 20, by=owner)
        asks(machine, percent=25)
        for _ in range(12):
            call()
        assert [(one.trigger, one.call_number) for one in taken()] == [("budget", 6), ("budget", 11)]
        assert [list(one.marks.values()).count(25) for one in taken()] == [1, 0]

    @pytest.mark.parametrize(
        ("tool", "why"),
        [(ToolCall("t", "Write", {"file_path": "a.py", "content": "x"}), "After Write a.py"),
         (ToolCall("t", "Read", {"file_path": "a.py"}), None)],
    )  # fmt: skip
    def test_after_file_operations(
        self,
        machine: Machine,
        provider: Provider,
        call: Calling,
        worker: None,
        tool: ToolCall,
        why: str | None,
    ) -> None:
        asks(machine, after_files=True)
        call(messages=executed(tool))
        assert [one.why for one in taken()] == ([why] if why else [])

    def test_a_type_without_checkpoints_asks_the_database_nothing_of_them(
        self, machine: Machine, provider: Provider, call: Calling
    ) -> None:
        provider.answer = answering(RISKY)
        assert call(stream=True).content
        assert taken() == []
        assert Call.objects.get().stall_ms == 0


class TestBeforeTools:
    def test_the_rest_of_the_answer_is_held_until_there_is_a_checkpoint(
        self, machine: Machine, provider: Provider, call: Calling
    ) -> None:
        asks(machine, before=["usual"])
        provider.answer = answering(RISKY)
        answer = call(stream=True)
        seen, ended = bytearray(), threading.Event()

        def listen() -> None:
            for piece in answer.iter_content(None):
                seen.extend(piece)
            ended.set()

        threading.Thread(target=listen, daemon=True).start()
        (checkpoint,) = until(taken)
        assert not ended.wait(0.3)
        assert b'"type": "content_block_stop", "index": 1' not in bytes(seen)
        captured(checkpoint)
        assert ended.wait(10)
        assert bytes(seen) == b"".join(messages_stream(RISKY))
        assert (checkpoint.trigger, checkpoint.why) == ("risk", "Before rm -rf build")
        done = Call.objects.get()
        assert (checkpoint.call_number, done.checkpoint_id, done.state) == (1, checkpoint.id, "done")
        assert done.stall_ms >= 300

    def test_a_harmless_tool_costs_nothing(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        asks(machine, before=["usual"])
        provider.answer = answering(HARMLESS)
        assert call(stream=True).content == b"".join(messages_stream(HARMLESS))
        assert taken() == []

    def test_the_one_taken_at_this_call_is_that_checkpoint(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        asks(machine, calls=1, before=["rm"])
        provider.answer = answering(RISKY)
        assert call(stream=True).content
        assert [(one.trigger, one.why) for one in taken()] == [("risk", "Before rm -rf build")]

    def test_unless_it_could_not_be_taken(self, machine: Machine, provider: Provider, call: Calling) -> None:
        asks(machine, calls=1, before=["rm"])
        provider.answer = answering(RISKY)
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(lambda: call(stream=True).content)
            until(taken)[0].move(State.BROKEN, error="No room.")
            second = until(lambda: taken()[1:])[0]
            captured(second)
            assert answer.result(10) == b"".join(messages_stream(RISKY))
        assert (second.trigger, second.call_number) == ("risk", 1)

    def test_a_pattern_of_ones_own(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        asks(machine, before=[r"\bmake deploy\b"])
        provider.answer = answering(ToolCall("toolu_1", "Bash", {"command": "make deploy"}))
        assert call(stream=True).content
        assert [one.why for one in taken()] == ["Before make deploy"]

    def test_secrets_are_left_out_of_what_people_read(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        asks(machine, before=["usual"])
        command = "curl -H 'Authorization: Bearer abcdefgh12345678abcdefgh' x; rm -rf y"
        provider.answer = answering(ToolCall("toolu_1", "Bash", {"command": command}))
        assert call(stream=True).content
        assert "abcdefgh12345678" not in taken()[0].why

    def test_several_are_one_checkpoint(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        asks(machine, before=["usual"])
        provider.answer = answering(RISKY, RISKY._replace(id="toolu_2"))
        assert call(stream=True).content
        assert len(taken()) == 1

    def test_it_is_not_waited_for_for_ever(
        self, machine: Machine, provider: Provider, call: Calling, settings: Settings
    ) -> None:
        settings.GATEWAY_CHECKPOINT_HOLD_SECONDS = 0.3
        asks(machine, before=["usual"])
        provider.answer = answering(RISKY)
        assert call(stream=True).content == b"".join(messages_stream(RISKY))
        assert Event.objects.get(kind="checkpoint.late").subject == taken()[0].subject

    def test_an_agent_that_hangs_up_meanwhile_is_charged_by_the_figures(
        self, machine: Machine, provider: Provider, call: Calling
    ) -> None:
        asks(machine, before=["usual"])
        provider.answer = answering(RISKY)
        answer = call(stream=True)
        until(taken)
        answer.close()
        until(lambda: not Call.objects.filter(state__in=calls.OPEN).exists())
        assert Call.objects.get().output_tokens == playing.WRITTEN


class TestAfterTheResponse:
    def test_the_end_of_the_answer_waits(self, machine: Machine, provider: Provider, call: Calling) -> None:
        asks(machine, calls=1, timing="after_response")
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(lambda: call(stream=True).content)
            (checkpoint,) = until(taken)
            assert Call.objects.get().state == "done"  # the books are closed by then
            assert not answer.done()
            captured(checkpoint)
            assert answer.result(10) == STREAM
        assert (checkpoint.why, checkpoint.trigger, checkpoint.call_number) == (
            "At the first answer",
            "call",
            1,
        )
        assert checkpoint.spent_micros > 0
        assert Call.objects.get().checkpoint_id == checkpoint.id
        assert Call.objects.get().stall_ms > 0

    def test_an_answer_in_one_piece_too(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        asks(machine, calls=2, timing="after_response")
        for _ in range(3):
            assert call().json() == playing.WHOLE
        assert [(one.call_number, one.why) for one in taken()] == [
            (1, "At the first answer"),
            (3, "At answer 3"),
        ]

    def test_the_one_before_a_risky_tool_is_enough(
        self, machine: Machine, provider: Provider, call: Calling, worker: None
    ) -> None:
        asks(machine, calls=1, timing="after_response", before=["usual"])
        provider.answer = answering(RISKY)
        assert call(stream=True).content
        assert [one.trigger for one in taken()] == ["risk"]


class TestEffects:
    PUSH = ToolCall("toolu_9", "Bash", {"command": "git push origin main && gh pr create --fill"})

    def test_they_are_noted_once_with_the_call_that_brought_the_result(
        self, machine: Machine, provider: Provider, call: Calling
    ) -> None:
        for _ in range(2):
            assert call(messages=executed(self.PUSH)).status_code == 200
        found = [(one.kind, one.summary, one.call_number, one.origin) for one in Effect.objects.all()]
        assert found == [
            ("push", "git push origin main", 1, machine.subject),
            ("pull_request", "gh pr create --fill", 1, machine.subject),
        ]

    def test_one_that_failed_says_so(self, machine: Machine, provider: Provider, call: Calling) -> None:
        call(messages=executed(self.PUSH, is_error=True))
        assert {one.summary for one in Effect.objects.all()} == {
            "git push origin main (ended with an error)",
            "gh pr create --fill (ended with an error)",
        }

    def test_a_call_that_nobody_answers_notes_them_too(
        self, machine: Machine, provider: Provider, call: Calling
    ) -> None:
        provider.answer = playing.refusing(529, "overloaded_error")
        call(messages=executed(self.PUSH))
        until(lambda: Effect.objects.count() == 2)

    def test_what_was_not_executed_is_none(self, machine: Machine, provider: Provider, call: Calling) -> None:
        provider.answer = answering(self.PUSH)
        assert call(stream=True).content
        assert not Effect.objects.exists()
