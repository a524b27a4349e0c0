"""The checkpoint before a call: taken while the model thinks, and the answer waits for it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from pytest_django import Settings

from checkpoints.models import Checkpoint
from checkpoints.states import State
from events import actions as events
from events.models import Event
from gateway import calls
from gateway.models import Call
from machines.models import Machine
from operations.models import Operation, Status
from tests.gateway import provider as playing
from tests.gateway.conftest import Call as Calling
from tests.gateway.provider import STREAM, Provider
from tests.gateway.servers import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def agent(machine: Machine) -> Machine:
    """The machine, of a type that wants a checkpoint before every call."""
    machine.type = "claude-code"
    machine.save()
    return machine


def asked_for() -> Checkpoint:
    """The checkpoint that the gateway had taken."""
    return until(lambda: Checkpoint.objects.exclude(kind="genesis").first())


def captured(checkpoint: Checkpoint, to: State = State.CAPTURED) -> None:
    """What a worker does at the end of taking it."""
    checkpoint.move(to)
    events.record(f"checkpoint.{to}", subject=checkpoint.subject, project_id=checkpoint.project_id)


class TestHolding:
    @pytest.mark.parametrize("state", [State.CAPTURED, State.BROKEN])
    def test_the_answer_waits_until_the_checkpoint_is_settled(
        self, agent: Machine, provider: Provider, call: Calling, state: State
    ) -> None:
        with ThreadPoolExecutor(1) as thread:
            answering = thread.submit(lambda: call(stream=True).content)
            checkpoint = asked_for()
            until(lambda: Call.objects.filter(state="streaming").exists())
            time.sleep(0.2)  # long enough for an answer that nobody holds
            assert not answering.done()
            captured(checkpoint, state)
            settled = time.monotonic()
            assert answering.result(10) == STREAM
        assert time.monotonic() - settled < 0.9, "the doorbell rang in vain"
        done = Call.objects.get()
        assert done.checkpoint_id == checkpoint.id
        assert done.stall_ms >= 200
        assert checkpoint.call_id == done.id

    def test_the_provider_works_meanwhile(self, agent: Machine, provider: Provider, call: Calling) -> None:
        """A slow model hides the whole of it."""
        captured_first = threading.Event()

        async def slow(request: playing.web.Request) -> playing.web.StreamResponse:
            await playing.asyncio.to_thread(captured_first.wait, 10)
            return await playing.whole_or_stream(request)

        provider.answer = slow
        with ThreadPoolExecutor(1) as thread:
            answering = thread.submit(call)
            captured(asked_for())
            captured_first.set()
            assert answering.result(10).status_code == 200
        assert Call.objects.get().stall_ms < 200

    def test_an_answer_is_not_held_for_ever(
        self, agent: Machine, provider: Provider, call: Calling, settings: Settings
    ) -> None:
        settings.GATEWAY_CHECKPOINT_HOLD_SECONDS = 0.3
        assert call(stream=True).content == STREAM
        late = Event.objects.get(kind="checkpoint.late")
        assert late.subject == asked_for().subject
        assert Call.objects.get().state == "done"

    def test_nor_for_one_that_waits_for_a_person(
        self, agent: Machine, provider: Provider, call: Calling
    ) -> None:
        """A lock that only `qm unlock` removes: the agent works on, and the checkpoint is known to be late."""
        with ThreadPoolExecutor(1) as thread:
            answering = thread.submit(lambda: call(stream=True).content)
            lock = asked_for().guest.subject
            Operation.objects.filter(lock=lock).update(status=Status.NEEDS_OPERATOR)
            assert answering.result(10) == STREAM
        late = Event.objects.get(kind="checkpoint.late")
        assert (late.subject, late.data["waited_seconds"] < 9) == (asked_for().subject, True)

    def test_an_error_is_not_held(self, agent: Machine, provider: Provider, call: Calling) -> None:
        provider.answer = playing.refusing(529, "overloaded_error")
        assert call().status_code == 529

    def test_an_agent_that_hangs_up_meanwhile_is_noticed(
        self, agent: Machine, provider: Provider, call: Calling
    ) -> None:
        provider.answer = playing.never_ending
        with pytest.raises(requests.exceptions.ReadTimeout):
            call(stream=True, timeout=0.5)
        assert provider.hung_up.wait(5)
        until(lambda: not Call.objects.filter(state__in=calls.OPEN).exists())
        assert "hung up" in Call.objects.get().error

    def test_an_answer_that_was_there_already_is_charged_by_its_figures_all_the_same(
        self, agent: Machine, provider: Provider, call: Calling
    ) -> None:
        with pytest.raises(requests.exceptions.ReadTimeout):
            call(stream=True, timeout=0.5)
        until(lambda: not Call.objects.filter(state__in=calls.OPEN).exists())
        done = Call.objects.get()
        assert (done.state, done.output_tokens) == ("done", playing.WRITTEN)

    def test_an_aside_takes_no_checkpoint(self, agent: Machine, provider: Provider, call: Calling) -> None:
        naming = {"format": {"type": "json_schema", "schema": {}}}
        assert call(output_config=naming).status_code == 200
        assert not Checkpoint.objects.exclude(kind="genesis").exists()
