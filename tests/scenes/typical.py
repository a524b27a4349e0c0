"""The typical scene: two dozen machines in all states, a few people, three projects, and things that wait."""

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from budgets import requests, transfers
from budgets.limits import Holder, change_limit
from budgets.models import Budget, LedgerEntry
from checkpoints import actions as checkpoints
from checkpoints.models import Checkpoint, Verification
from dashboard import screens
from dashboard.screens import Wanted
from dashboard.wall import BLOCKS
from guests import diagnoses
from guests.models import Guest
from machines.actions import message
from machines.actions.begin import begin, record
from machines.models import Machine
from machines.states import State
from operations.models import Operation, Status
from projects import actions as projects
from projects import invitations
from projects.models import ApiToken, Project, User
from projects.roles import Role
from proxmox.diagnosis.findings import Finding, Report
from proxmox.diagnosis.findings import Status as Found
from tests.scenes.life import Life
from tests.scenes.stage import DOLLAR, Stage, enter
from tests.scenes.words import FAILING, PROMPTS

HOUR, DAY = 60.0, 24 * 60.0
PEOPLE = {"ines": Role.OWNER, "tomas": Role.OPERATOR, "yuki": Role.MEMBER, "bob": Role.VIEWER}


def build() -> Stage:
    """Everything; the ids are of things that have much to show."""
    stage = enter()
    people, others = _people(stage), _projects(stage)
    lives = _lives(stage, people, others)
    stage.script.play()
    _waiting(stage, people, others, lives)
    stage.script.play()
    _name(stage, lives)
    return stage


def _people(stage: Stage) -> dict[str, User]:
    people: dict[str, User] = {}

    def let_in() -> None:
        for name, role in PEOPLE.items():
            people[name] = User.objects.create_user(name)
            projects.admit(stage.demo, people[name], role, by=stage.admin)

    stage.script.before(5.9 * DAY, let_in)
    stage.script.play()
    return people


def _projects(stage: Stage) -> dict[str, tuple[Project, Checkpoint]]:
    made: dict[str, tuple[Project, Checkpoint]] = {}

    def make() -> None:
        for slug, dollars in (("handbook", 40), ("payments", 120)):
            project = projects.create(slug=slug, name=slug.capitalize(), by=stage.admin)
            change_limit(Holder.of_project(project), "money", dollars * DOLLAR, by=stage.admin)
            made[slug] = (project, checkpoints.genesis(project, stage.genesis.guest))
        change_limit(Holder.of_project(stage.demo), "calls", 2_000, by=stage.admin)

    stage.script.before(5.8 * DAY, make)
    stage.script.play()
    return made


def _lives(
    stage: Stage, people: dict[str, User], others: dict[str, tuple[Project, Checkpoint]]
) -> dict[str, Life]:
    script, demo = stage.script, (stage.demo, stage.genesis)
    made: dict[str, Life] = {}

    def live(name: str, where: tuple[Project, Any], ago: float, prompt: int, by: User, **also: Any) -> Life:
        made[name] = Life(script, where[0], ago, luck=len(made)).asked_for(
            where[1], PROMPTS[prompt], by, **also
        )
        return made[name]

    ines, tomas, yuki = people["ines"], people["tomas"], people["yuki"]
    for number in range(9):  # a week's work that is done
        where = (demo, others["handbook"], others["payments"])[number % 3]
        by = (ines, stage.admin, stage.admin)[number % 3]
        live(f"done-{number}", where, (5.5 - number * 0.6) * DAY, number, by).started().worked(
            3 + number % 4, 6
        ).ended((5.5 - number * 0.6) * DAY - 55)
    live("first", demo, 3 * HOUR, 0, ines).started().worked(6, 4).ended(2.4 * HOUR)
    at_work = live("at-work", demo, 48, 1, tomas).started().worked(9, 4.5)
    at_work.then(20, lambda machine: message(machine, "Leave the migrations for last.", by=tomas))
    live("shell", demo, 95, 9, yuki, type_name="shell").started().worked(2, 20)
    for number, (where, ago) in enumerate(
        [
            (others["handbook"], 75),
            (others["payments"], 62),
            (others["payments"], 33),
            (others["handbook"], 12),
        ]
    ):
        live(f"running-{number}", where, ago, 3 + number, stage.admin).started().worked(2 + number, 2.2)
    live("branch", (stage.demo, made["first"]), 26, 7, ines).started().worked(4, 5)
    paused = live("paused", demo, 6 * HOUR, 4, ines).started().worked(3, 30)
    paused.paused(2 * HOUR, Machine.PausedFor.PERSON, "", by=tomas)
    broke = live("broke", demo, 4 * HOUR, 8, yuki).started().worked(5, 20)
    broke.then(42, _use_up).paused(
        41, Machine.PausedFor.BUDGET, "Its own limit has room for no further call."
    )
    failed = live("failed", demo, 80, 10, yuki).started().worked(2, 5).said(60, FAILING)
    failed.failed(59, "Its agent ended with exit code 28: no space left on its disk.")
    live("lost", others["payments"], 5 * HOUR, 5, stage.admin).started(State.PROVISIONING).failed(
        4.9 * HOUR, "Its guest did not answer within 120 s after it was started.", verb="spawn", step="start",
        error="The guest agent of VM 10019 did not answer within 120 s.",
    )  # fmt: skip
    live("starting", demo, 0.25, 11, tomas).started(State.PROVISIONING)
    live("cloning", others["handbook"], 0.06, 2, stage.admin).started(State.CLONING)
    live("asked", others["payments"], 0.01, 6, stage.admin)
    return made


def _use_up(machine: Machine) -> None:
    """Its own limit is what it has spent."""
    holder = Holder.of_machine(machine.project, machine.id, f"Machine {machine.handle}")
    spent = LedgerEntry.objects.filter(machine_id=machine.id).aggregate(all=Sum("micros"))["all"]
    change_limit(holder, "money", spent, by=machine.created_by)


def _waiting(
    stage: Stage,
    people: dict[str, User],
    others: dict[str, tuple[Project, Checkpoint]],
    lives: dict[str, Life],
) -> None:
    """What somebody has to decide, and what an operator has to look at."""
    script, ids, demo = stage.script, stage.ids, stage.demo

    def ask() -> None:
        asked = requests.ask(
            demo, "money", 10 * DOLLAR, by=people["yuki"], reason="The upgrade takes longer."
        )
        ids["request"] = str(asked.pk)

    def offer() -> None:
        payments = others["payments"][0]
        noor = User.objects.create_user("noor")
        projects.admit(payments, noor, Role.OWNER, by=stage.admin)
        offered = transfers.propose(payments, demo, "money", 15 * DOLLAR, by=noor, note="We need less.")
        ids["transfer"] = str(offered.pk)

    def get_stuck() -> None:
        machine = lives["running-1"].machine
        vmid = machine.guest.vmid
        stuck = begin("pause", machine, by=stage.admin)
        record(machine, "machine.pausing", by=stage.admin)
        machine.move(State.PAUSING)
        Operation.objects.filter(pk=stuck.pk).update(
            status=Status.NEEDS_OPERATOR, started_at=timezone.now(), step="pause",
            error=f"VM {vmid} is locked by a backup that was broken off. Run: qm unlock {vmid}",
        )  # fmt: skip
        ids["operation"] = str(stuck.pk)

    def keep() -> None:
        ids["invitation"] = str(
            invitations.create(demo, Role.MEMBER, note="Noor of support", by=stage.admin)[0].pk
        )
        ids["token"] = str(ApiToken.mint(stage.admin, "nightly report")[0].pk)
        wanted = Wanted("Lobby", [list(BLOCKS)[:4], list(BLOCKS)[4:]], True, [], theme="auto")
        screen, ids["wall"] = screens.make(wanted, by=stage.admin)
        ids["screen"] = str(screen.pk)
        diagnosis = diagnoses.ask("admin")
        diagnoses.record(diagnosis.pk, Report(tuple(_findings())))
        _prove(lives["first"].machine)

    script.before(35, offer)
    script.before(28, ask)
    script.before(14, get_stuck)
    script.before(9, keep)


def _findings() -> list[Finding]:
    return [
        Finding(
            "Connection", Found.OK, "Proxmox VE 9.1 answers at https://pve1:8006.", section="Connection"
        ),
        Finding("Token", Found.OK, "The token has every right that autovibe uses.", section="Rights"),
        Finding("Pool", Found.OK, "The pool autovibe is there.", section="Rights"),
        Finding("Template", Found.OK, "VM 9000 is a template on local-lvm.", section="Template"),
        Finding("Backups", Found.WARNING, "No backup storage is set: checkpoints that cannot be branched are lost "
                "with their machine.", ("pvesm add dir backups --path /srv/backups --content backup",), "Storage"),
    ]  # fmt: skip


def _prove(machine: Machine) -> None:
    """Its third checkpoint was tried out and named."""
    point = Checkpoint.objects.of(machine.subject).get(number=3)
    now = timezone.now()
    Verification.objects.create(
        checkpoint=point, depth="boot", verdict="passed", seconds=41.0, ended_at=now,
        sentence="A scratch guest was started from it, and its agent could go on.",
        evidence={"files": 3, "bytes": 4_180, "seconds": 41},
    )  # fmt: skip
    Checkpoint.objects.filter(pk=point.pk).update(
        proven_at=now, proven_depth="boot", name="Green tests", pinned=True
    )


def _name(stage: Stage, lives: dict[str, Life]) -> None:
    """What pages are opened for."""
    first, at_work = lives["first"].machine, lives["at-work"].machine
    last = Checkpoint.objects.of(first.subject).last()
    assert last
    stage.ids |= {
        "machine": at_work.handle,
        "done": first.handle,
        "failed": lives["failed"].machine.handle,
        "checkpoint": last.handle,
        "first": f"{first.handle}.c1",
        "member": "bob",
        "budget": str(Budget.objects.get(project=stage.demo, holder=f"project:{stage.demo.id}", resource="money").pk),
    }  # fmt: skip
    Guest.objects.filter(template=False).update(observed_at=stage.script.now + timedelta(hours=2))
