"""What guests report: log lines, signs of life, and the agent's end. Guests are not trusted: all of it is checked.

A report may arrive twice, late, or from a run that a rollback made void; then it changes nothing.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from events import actions as events
from machines import actions
from machines.models import Machine
from machines.states import CALLING, ENDED, State
from projects.errors import Invalid

STREAMS = {"out", "err", "sys"}
LINE_CHARACTERS_MAX = 32 * 1024
LINE_NUMBER_MAX = 2**31 - 1  # PostgreSQL's integer
AHEAD_MAX = timedelta(minutes=5)  # of a guest's clock

Line = tuple[int, datetime, str, str]  # number, time, stream, text

# As objects of the ORM, lines would take twice as long, and bursts are what agents print.
_KEEP = """
    INSERT INTO machines_logline (machine_id, run, number, at, stream, text)
    SELECT %s, %s, * FROM unnest(%s::integer[], %s::timestamptz[], %s::text[], %s::text[])
    ON CONFLICT DO NOTHING
"""


def report(machine: Machine, sent: dict[str, Any]) -> dict[str, Any]:
    """Take one report; the answer may ask the guest to stop. Raises `Invalid` when it cannot be read."""
    run = _uuid(sent.get("run"))
    now = timezone.now()
    lines = [_line(line, machine.created_at, now) for line in _list(sent, "lines")]
    _keep(machine, run, lines)
    if run != machine.run:
        return {"stop": True}
    Machine.objects.filter(pk=machine.pk).update(heard_at=now)
    if lines:
        events.ring("log", subject=machine.subject, project_id=machine.project_id)
    if isinstance(sent.get("ended"), dict):
        _ended(machine, run, sent["ended"])
    return {"stop": machine.state in ENDED}


@transaction.atomic
def _ended(machine: Machine, run: UUID, ended: dict[str, Any]) -> None:
    """The agent ended by itself: it hears what was said, or the machine ends; not one that is paused or ending."""
    current = (
        Machine.objects.select_for_update(of=("self",), no_key=True)
        .select_related("project", "guest", "source", "present")
        .get(pk=machine.pk)
    )
    if current.run != run or current.exit_code is not None or current.state in ENDED:
        return
    code = _number(ended.get("exit_code"), default=255)
    sentence = _storable(ended.get("sentence") or sentence_of(code))[:1000]
    Machine.objects.filter(pk=machine.pk).update(exit_code=code)
    if current.state == State.RUNNING:
        actions.turn_ended(current, sentence=sentence)
    elif current.state in CALLING and not current.paused_for:
        # An agent may be quicker than the worker that started it, which then begins the end.
        Machine.objects.filter(pk=machine.pk).update(sentence=sentence)


def sentence_of(exit_code: int) -> str:
    return "The agent finished." if exit_code == 0 else f"The agent ended with exit code {exit_code}."


def _keep(machine: Machine, run: UUID, lines: list[Line]) -> None:
    """Keep each line once, in the order in which they came."""
    if lines:
        with connection.cursor() as cursor:
            cursor.execute(_KEEP, [machine.pk, run, *map(list, zip(*lines, strict=True))])


def _line(line: Any, since: datetime, now: datetime) -> Line:
    """A line as it is kept. A time before `since`, or too far ahead of `now`, is taken for now.

    Else one guest's clock could hold the first page of everybody's logs.
    """
    try:
        number, at, stream, text = line
        told = datetime.fromtimestamp(float(at), UTC)
        when = told if since <= told <= now + AHEAD_MAX else now
        if stream not in STREAMS:
            raise ValueError
        if not 0 <= (counted := int(number)) <= LINE_NUMBER_MAX:
            raise ValueError
        return counted, when, stream, _storable(text)[:LINE_CHARACTERS_MAX]
    except (TypeError, ValueError, OverflowError, OSError):
        raise Invalid("A log line is [number, unix time, out|err|sys, text].") from None


def _storable(text: Any) -> str:
    """Without what JSON can say and PostgreSQL cannot keep: NUL, and halves of surrogate pairs."""
    return re.sub(r"[\x00\ud800-\udfff]", "\ufffd", str(text))


def _uuid(raw: Any) -> UUID:
    try:
        return UUID(str(raw))
    except ValueError:
        raise Invalid("A report names its run.") from None


def _list(sent: dict[str, Any], name: str) -> list[Any]:
    value = sent.get(name) or []
    if not isinstance(value, list):
        raise Invalid(f"“{name}” must be a list.")
    return value


def _number(raw: Any, *, default: int) -> int:
    return raw if isinstance(raw, int) and -255 <= raw <= 255 else default
