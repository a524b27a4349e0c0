"""The busy scene: 500 machines in ten projects that printed a million lines; also the fleet of benchmarks."""

import random
from datetime import timedelta
from uuid import uuid4

from django.db import connection
from django.utils import timezone

from budgets.limits import Holder, change_limit
from budgets.models import LedgerEntry
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint
from events.models import Event
from gateway.models import Call
from guests.models import Guest, Usage
from machines.models import Machine
from projects import actions as projects
from projects.models import Project, User
from tests.budgets.rows import entry
from tests.scenes.life import Life
from tests.scenes.stage import DOLLAR, Stage, enter
from tests.scenes.words import LINES, PROMPTS

PROJECTS, MACHINES, LINES_EACH, MINUTES = 10, 500, 2_000, 60
BATCH = 2000
CHECKPOINTS, ENTRIES, CALLS = 3, 5, 2  # of each machine
LIVE = ("running", "paused")
STATES = ("running", "running", "paused", "terminated", "failed")
_LINES = """
INSERT INTO machines_logline (machine_id, run, number, at, stream, text)
SELECT id, run, line, now() - (%(each)s - line) * interval '20 seconds', (%(streams)s::text[])[1 + line %% %(kinds)s],
    (%(texts)s::text[])[1 + line %% %(kinds)s] || ' ' || md5(line::text)
FROM machines_machine, generate_series(1, %(each)s) AS line
"""


def build() -> Stage:
    """The fleet with its logs, and what each guest used in the last hour."""
    stage = enter()
    make_fleet(MACHINES, stage.admin)
    _measure_guests()
    _print_lines(LINES_EACH)
    home = Project.objects.get(slug="project-0")
    budget = change_limit(Holder.of_project(home), "money", 500 * DOLLAR, by=stage.admin)
    source = checkpoints.genesis_of(home)
    at_work = Life(stage.script, home, 300, luck=1).asked_for(source, PROMPTS[1], stage.admin)
    at_work.started().worked(40, 7)
    done = Life(stage.script, home, 400, luck=2).asked_for(source, PROMPTS[0], stage.admin)
    done.started().worked(9, 5).ended(340)
    stage.script.play()
    stage.ids |= {
        "slug": home.slug,
        "machine": at_work.machine.handle,
        "done": done.machine.handle,
        "failed": Machine.objects.filter(state="failed").latest("number").handle,
        "checkpoint": f"{done.machine.handle}.c5",
        "first": f"{done.machine.handle}.c1",
        "budget": str(budget.pk),
    }
    return stage


def make_fleet(machines: int, owner: User) -> None:
    """Machines of the owner's projects, with their checkpoints, ledger entries and calls."""
    homes = [projects.create(slug=f"project-{number}", by=owner) for number in range(PROJECTS)]
    sources = [_source(home, number) for number, home in enumerate(homes)]
    for first in range(0, machines, BATCH):
        _make_some(range(first, min(first + BATCH, machines)), homes, sources, owner)
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('machines_number', %s), setval('guests_vmid', %s)", [machines] * 2)


def _source(project: Project, number: int) -> Checkpoint:
    template = Guest.objects.create(vmid=8000 + number, node="pve1", template=True, state="present")
    return checkpoints.genesis(project, template)


def _make_some(numbers: range, homes: list[Project], sources: list[Checkpoint], owner: User) -> None:
    now = timezone.now()
    guests = Guest.objects.bulk_create(
        Guest(project=homes[n % PROJECTS], vmid=10_000 + n, node="pve1", state="present", observed_at=now)
        for n in numbers
    )
    machines = Machine.objects.bulk_create(
        Machine(
            number=n + 1, project=homes[n % PROJECTS], source=sources[n % PROJECTS], guest=guest, type="vibe",
            prompt=f"{PROMPTS[n % len(PROMPTS)]} (part {n})", state=STATES[n % len(STATES)], run=uuid4(),
            wall_seconds=14_400, created_by=owner, run_started_at=now - timedelta(days=3),
            heard_at=now + timedelta(days=1), ended_at=None if STATES[n % 5] in LIVE else now - timedelta(days=2),
        )
        for n, guest in zip(numbers, guests, strict=True)
    )  # fmt: skip
    Checkpoint.objects.bulk_create(
        Checkpoint(
            project=one.project, guest=one.guest, origin=one.subject, number=c, handle=f"{one.handle}.c{c}",
            kind="automatic", state="captured", why="After answer 1", parent=one.source, captured_at=now,
        )
        for one in machines
        for c in range(1, CHECKPOINTS + 1)
    )  # fmt: skip
    LedgerEntry.objects.bulk_create(
        entry(one.project, now, machine_id=one.id) for one in machines for _ in range(ENTRIES)
    )
    Call.objects.bulk_create(
        Call(
            machine=one, number=c, reservation_id=uuid4(), model="claude-sonnet-4-5", state="done",
            started_at=now, duration_ms=2400, first_byte_ms=600,
        )
        for one in machines
        for c in range(1, CALLS + 1)
    )  # fmt: skip
    Event.objects.bulk_create(
        Event(kind=f"machine.{one.state}", subject=one.subject, project_id=one.project_id, actor="system")
        for one in machines
    )


def _measure_guests() -> None:
    luck, now = random.Random(1), timezone.now().replace(second=0, microsecond=0)
    Usage.objects.bulk_create(
        (
            Usage(
                guest_id=guest, at=now - timedelta(minutes=ago), cpu_seconds=luck.random() * 60,
                memory_bytes=luck.randrange(2 * 1024**3),
            )
            for guest in Machine.objects.filter(state__in=LIVE).values_list("guest", flat=True)
            for ago in range(MINUTES)
        ),
        batch_size=5000,
    )  # fmt: skip


def _print_lines(each: int) -> None:
    streams, texts = zip(*LINES, strict=True)
    told = {"each": each, "streams": list(streams), "texts": list(texts), "kinds": len(LINES)}
    with connection.cursor() as cursor:
        cursor.execute(_LINES, told)
