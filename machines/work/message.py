"""Delivering what was said: it is the prompt of the agent's next start, in the same conversation.

The start belongs to a run, and so does the text: whoever takes a step again, after a worker died, starts the same run
or makes another that the first never saw. What was started is noted with the run, so that nothing is heard twice.
"""

from django.db import transaction
from django.utils import timezone

from budgets.models import LedgerEntry
from checkpoints import work as checkpoints
from events import actions as events
from machines import tokens
from machines.models import LogLine, Machine, Message
from machines.reports import LINE_NUMBER_MAX
from machines.states import State
from machines.work import bundle
from machines.work.context import Work, blocked, failed, load, moved, running
from machines.work.spawn import send_bundle, start_agent
from operations.engine import Outcome, Plan, Step

STREAM = "say"  # guests cannot report lines of it


def _end_turn(work: Work) -> Outcome:
    """End the agent. Only then its token dies: what it printed last is still to be told."""
    bundle.stop(work.machine)
    tokens.revoke(work.machine)
    return None


def _next_turn(work: Work) -> Outcome:
    if work.machine.state == State.PAUSING:
        moved(work, State.RESUMING)
    return send(work)


def send(work: Work) -> Outcome:
    """Write the bundle of the next run, with what its agent is to hear."""
    machine = work.machine
    waiting = list(Message.objects.waiting(machine))
    texts = [message.text for message in waiting]
    resume = not waiting or _has_begun(machine)
    prompt = "\n\n".join(texts if resume else [machine.prompt, *texts])
    send_bundle(work, resume=resume, prompt=prompt, files=False, fork=False)
    Message.objects.filter(pk__in=[message.pk for message in waiting]).update(run=machine.run)
    return None


def _has_begun(machine: Machine) -> bool:
    """Whether there is a conversation to go on with. An agent interrupted before its first answer has none."""
    if machine.continues or (machine.present and machine.present.begun):
        return True
    since = machine.created_at.date().replace(day=1)
    return LedgerEntry.objects.filter(machine_id=machine.pk, month__gte=since, calls__gt=0).exists()


def launch(work: Work) -> Outcome:
    """Start the agent. What it hears stands in the log before what it answers."""
    machine = work.machine
    heard = list(Message.objects.waiting(machine).filter(run=machine.run))
    lines = [_line(machine, message, number) for number, message in enumerate(heard)]
    LogLine.objects.bulk_create(lines, ignore_conflicts=True)
    start_agent(work)
    for message in heard:
        _delivered(machine, message)
    return None


def _line(machine: Machine, message: Message, number: int) -> LogLine:
    """Numbered from the far end, where no line of the agent's is."""
    said = f"{message.author} said: {message.text}"
    now = timezone.now()
    assert machine.run
    return LogLine(
        machine=machine, run=machine.run, number=LINE_NUMBER_MAX - number, at=now, stream=STREAM, text=said
    )


@transaction.atomic
def _delivered(machine: Machine, message: Message) -> None:
    if Message.objects.filter(pk=message.pk, delivered_at=None).update(delivered_at=timezone.now()):
        events.record(
            "machine.message_delivered",
            subject=machine.subject,
            project_id=machine.project_id,
            handle=machine.handle,
            message=message.pk,
            author=message.author,
        )


def _turned(work: Work) -> None:
    checkpoints.captured(work.kept)
    running(work)


PLAN: Plan[Work] = Plan(
    load=load,
    steps=(
        Step("quiet", "Ending the agent's turn", _end_turn),
        *checkpoints.STEPS,
        Step("files", "Preparing the agent", _next_turn),
        Step("launch", "Starting the agent with what was said", launch),
    ),
    succeed=_turned,
    fail=failed,
    blocked=blocked,
)
