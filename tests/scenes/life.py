"""The life of a machine in a scene: asked for, started, at work, and how it ended; what each step leaves behind."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db.models import Max, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from budgets import actions as budgets
from budgets.models import LedgerEntry, Window
from budgets.resources import Payer, Resource
from checkpoints.models import Checkpoint
from gateway.models import Call
from guests.models import Guest, Usage
from guests.states import State as GuestState
from machines.actions import spawn
from machines.actions.begin import begin, record
from machines.forecast.predict import record_truth
from machines.models import LogLine, Machine
from machines.states import State
from operations import trail
from operations.models import Operation, Status
from projects.models import Project, User
from tests.dashboard import rows
from tests.scenes.script import Script
from tests.scenes.words import FIZZBUZZ, LINES, MORE

MIB = 1024**2
STARTING_SECONDS = {State.CLONING: 1.5, State.PROVISIONING: 9.0, State.RUNNING: 21.0}
MODEL = "claude-sonnet-4-5"


class Life:
    """Tells a script what happened to one machine. `machine` is there once that has been played."""

    machine: Machine

    def __init__(self, script: Script, project: Project, asked_minutes_ago: float, *, luck: int) -> None:
        self.script, self.project, self.asked = script, project, asked_minutes_ago
        self._luck = random.Random(luck)

    def asked_for(
        self, source: "Checkpoint | Life", prompt: str, by: User, type_name: str = "vibe"
    ) -> "Life":
        """Asked for, from a checkpoint or from the last one that another machine had left by then."""

        def ask() -> None:
            point = source.machine.present if isinstance(source, Life) else source
            self.machine = spawn(
                project=self.project, source=point, type_name=type_name, prompt=prompt, by=by,
                limits={"money": 25_000_000} if self._luck.random() < 0.3 else None,
            )  # fmt: skip

        self.script.before(self.asked, ask)
        return self

    def started(self, upto: State = State.RUNNING) -> "Life":
        """Through the states of starting, as far as `upto`."""
        for state, seconds in STARTING_SECONDS.items():
            self.script.before(self.asked - seconds / 60, lambda state=state: self._enter(state))
            if state == upto:
                break
        return self

    def worked(self, calls: int, every_minutes: float = 1.0) -> "Life":
        """That many model calls from when it ran, with a checkpoint before each and what the agent printed."""
        for number in range(1, calls + 1):
            moment = self.asked - 0.5 - number * every_minutes
            self.script.before(moment, lambda number=number: self._call(number, last=number == calls))
        return self

    def paused(self, minutes_ago: float, why: str, sentence: str, by: User | None = None) -> "Life":
        """`why` is one of `Machine.PausedFor`."""

        def pause() -> None:
            self._operation("pause", by)
            record(self.machine, "machine.pausing", by=by)
            self.machine.move(State.PAUSING)
            self.machine.move(
                State.PAUSED, paused_for=why, paused_at=timezone.now(), sentence="" if by else sentence
            )
            record(self.machine, "machine.paused", sentence=sentence)

        self.script.before(minutes_ago, pause)
        return self

    def ended(self, minutes_ago: float) -> "Life":
        """Its agent had done its work; a final checkpoint was kept."""

        def end() -> None:
            self._operation("terminate", None)
            self.machine.move(State.STOPPING)
            final = {"kind": Checkpoint.Kind.FINAL, "trigger": Checkpoint.Trigger.END, "why": "At its end"}
            rows.checkpoint(self.machine, FIZZBUZZ | MORE, **final, **self._books())
            self._rest(State.TERMINATED, "Its agent has done its work.", exit_code=0)

        self.script.before(minutes_ago, end)
        return self

    def failed(self, minutes_ago: float, sentence: str, *, verb: str = "", **of_operation: Any) -> "Life":
        """By itself, or at the operation `verb`."""

        def fail() -> None:
            if verb:
                self._operation(verb, None, Status.FAILED, **of_operation)
            self._rest(State.FAILED, sentence, exit_code=None if verb else 28)

        self.script.before(minutes_ago, fail)
        return self

    def said(self, minutes_ago: float, lines: Sequence[tuple[str, str]]) -> "Life":
        """Its agent printed these."""
        self.script.before(minutes_ago, lambda: self._print(lines))
        return self

    def then(self, minutes_ago: float, act: Any) -> "Life":
        """Something else happened to it: `act` is called with the machine."""
        self.script.before(minutes_ago, lambda: act(self.machine))
        return self

    # What it leaves

    def _enter(self, state: State) -> None:
        also: dict[str, Any] = {}
        if state == State.RUNNING:
            # Heard from for as long as the scene is looked at: nobody is there to be silent.
            heard = self.script.now + timedelta(hours=2)
            also = {"run": uuid4(), "run_started_at": timezone.now(), "heard_at": heard}
            self._there()
        self.machine.move(state, **also)
        record(self.machine, f"machine.{state}")
        step = {State.CLONING: "clone", State.PROVISIONING: "start"}.get(state, "")
        self._progress(step)

    def _there(self) -> None:
        seen = self.script.now - timedelta(seconds=4)
        Guest.objects.filter(pk=self.machine.guest_id).update(
            state=GuestState.PRESENT, power=Guest.Power.RUNNING, power_since=timezone.now(), observed_at=seen,
            cpu=self._luck.uniform(0.02, 0.9), memory_bytes=self._luck.randrange(600, 3500) * MIB,
        )  # fmt: skip
        self.machine.guest.refresh_from_db()
        self._use()

    def _use(self) -> None:
        """What its guest used in each minute of the last hour that it was there."""
        last = int(min(60, self.asked))
        Usage.objects.bulk_create(
            Usage(
                guest=self.machine.guest, at=(self.script.ago(ago)).replace(second=0, microsecond=0),
                cpu_seconds=self._luck.choice((2, 4, 9, 30, 55)) + self._luck.random(),
                memory_bytes=(900 + 14 * (last - ago) + self._luck.randrange(90)) * MIB,
                disk_read_bytes=self._luck.randrange(4 * MIB), disk_written_bytes=self._luck.randrange(9 * MIB),
                received_bytes=self._luck.randrange(2 * MIB), sent_bytes=self._luck.randrange(MIB),
            )
            for ago in range(last, 0, -1)
            if ago not in (23, 24)  # nobody looked
        )  # fmt: skip

    def _progress(self, step: str) -> None:
        """Of the operation that starts it: at `step`, or done."""
        spawning = Operation.objects.filter(subject=self.machine.subject, verb="spawn")
        operation = spawning.get()
        began = operation.started_at or timezone.now()
        if step:
            upid = (
                f"UPID:pve1:0001A2B3:0C4D5E6F:68F0A1B2:qmclone:{self.machine.guest.vmid}:autovibe@pve!local:"
            )
            spawning.update(
                status=Status.WAITING, step=step, step_began_at=timezone.now(), started_at=began, upid=upid,
                trail=trail.entered(operation, step),
            )  # fmt: skip
        else:
            spawning.update(
                status=Status.SUCCEEDED, finished_at=timezone.now(), upid="", task_result="OK", step=""
            )

    def _operation(
        self, verb: str, by: User | None, status: Status = Status.SUCCEEDED, **also: Any
    ) -> Operation:
        """One that ended just now. A failed one is the one that is under way, if there is one of that verb."""
        found = Operation.objects.active().filter(subject=self.machine.subject, verb=verb).first()
        operation = found or begin(verb, self.machine, by=by)
        began = operation.started_at or timezone.now() - timedelta(seconds=4)
        Operation.objects.filter(pk=operation.pk).update(
            status=status, started_at=began, finished_at=timezone.now(), **also
        )
        return operation

    def _call(self, number: int, *, last: bool) -> None:
        files = FIZZBUZZ if number > 2 else dict(list(FIZZBUZZ.items())[: number - 1])
        point = rows.checkpoint(
            self.machine, files, trigger=Checkpoint.Trigger.CALL, call_number=number, **self._books()
        )
        cost = self._luck.randrange(30_000, 620_000)
        under_way = last and self._luck.random() < 0.3
        made = Call.objects.create(
            machine=self.machine, number=number, reservation_id=uuid4(), model=MODEL, upstream="anthropic",
            state=Call.State.STREAMING if under_way else Call.State.DONE, started_at=timezone.now(),
            input_tokens=self._luck.randrange(300, 4_000), cached_tokens=self._luck.randrange(2_000, 40_000),
            output_tokens=self._luck.randrange(80, 2_500), cost_micros=0 if under_way else cost, status=200,
            first_byte_ms=self._luck.randrange(350, 1_900), checkpoint_id=point.id,
            duration_ms=None if under_way else self._luck.randrange(2_000, 38_000),
            stall_ms=self._luck.choice((0, 0, 0, 40, 310)),
        )  # fmt: skip
        if not under_way:
            self._charge(made)
        Checkpoint.objects.filter(pk=point.pk).update(call_id=made.pk)
        at = self._luck.randrange(len(LINES))
        self._print([*LINES[at:], *LINES[:at]])

    def _books(self) -> dict[str, Any]:
        """Where they stand, as a checkpoint notes it."""
        own = LedgerEntry.objects.filter(machine_id=self.machine.id)
        return own.aggregate(
            ledger_entry=Max("id"), spent_micros=Coalesce(Sum("micros", filter=Q(calls__gt=0)), 0)
        )

    def _charge(self, call: Call) -> None:
        """To every balance of the project and of the machine."""
        payer = Payer(self.project.id, machine_id=self.machine.id)
        windows = [one for one in budgets.applicable(payer) if one.resource == Resource.MONEY]
        for window in windows:
            Window.objects.filter(pk=window.pk).update(spent=window.spent + call.cost_micros)
        LedgerEntry.objects.create(
            key=f"call:{call.reservation_id}/usage", kind=LedgerEntry.Kind.USAGE, label=MODEL, calls=1,
            month=call.started_at.date().replace(day=1), price_version="genai-prices", project=self.project,
            reservation_id=call.reservation_id, machine_id=self.machine.id, micros=call.cost_micros,
            windows=[one.pk for one in windows], amounts=[call.cost_micros] * len(windows),
            input_tokens=call.input_tokens, cached_tokens=call.cached_tokens, output_tokens=call.output_tokens,
            created_at=call.started_at,
        )  # fmt: skip

    def _print(self, lines: Sequence[tuple[str, str]]) -> None:
        now, first = timezone.now(), self.machine.log.count() + 1
        LogLine.objects.bulk_create(
            LogLine(
                machine=self.machine, run=self.machine.run or uuid4(), number=first + at, stream=stream, text=text,
                at=now + timedelta(seconds=at),
            )
            for at, (stream, text) in enumerate(lines)
        )  # fmt: skip

    def _rest(self, state: State, sentence: str, **also: Any) -> None:
        heard = {"heard_at": timezone.now()} if self.machine.heard_at else {}
        self.machine.move(state, sentence=sentence, **heard, **also)
        record(self.machine, f"machine.{state}", sentence=sentence)
        Guest.objects.filter(pk=self.machine.guest_id).update(
            power=Guest.Power.STOPPED, at_rest=True, cpu=0, memory_bytes=0, state=GuestState.PRESENT
        )
        if self.machine.run_started_at:
            record_truth(self.machine)
