"""The scene of trouble: Proxmox cannot be reached, work has failed, a limit is used up, and a checkpoint is broken."""

from dataclasses import replace
from datetime import timedelta

from django.utils import timezone

from budgets.models import Breaker, Budget, Window
from checkpoints.models import Checkpoint
from guests import diagnoses
from guests.models import Guest, Node, Stray
from machines.actions.begin import begin
from machines.models import Machine
from machines.states import State
from operations.models import Operation, Status
from proxmox.diagnosis.findings import Report, missing, unknown
from tests.scenes.life import Life
from tests.scenes.stage import Stage, enter
from tests.scenes.words import FAILING, PROMPTS

AWAY = "Proxmox at https://pve1:8006 cannot be reached: connection refused."


def build() -> Stage:
    stage = enter()
    lives = [Life(stage.script, stage.demo, 300 - 40 * number, luck=number) for number in range(5)]
    for number, life in enumerate(lives[:4]):
        life.asked_for(stage.genesis, PROMPTS[number], stage.admin)
    cut_off, failed, broke, refused = lives[:4]
    cut_off.started().worked(4, 3)
    failed.started().worked(3, 3).said(150, FAILING)
    failed.failed(149, "Its agent ended with exit code 28: no space left on its disk.")
    broke.started().worked(3, 4)
    broke.paused(120, Machine.PausedFor.BUDGET, "Project demo has room for no further call.")
    refused.started(State.CLONING).failed(
        100, "Proxmox refused to clone its template.", verb="spawn", step="clone", error=AWAY,
        task_result="clone failed: no space left on local-lvm",
    )  # fmt: skip
    stage.script.play()
    stage.script.before(30, lambda: _go_wrong(stage, cut_off.machine))
    stage.script.play()
    stage.ids |= {
        "machine": failed.machine.handle,
        "done": failed.machine.handle,
        "failed": refused.machine.handle,
        "checkpoint": f"{failed.machine.handle}.c2",
        "first": f"{failed.machine.handle}.c1",
        "budget": str(Budget.objects.get(holder=f"project:{stage.demo.id}", resource="money").pk),
    }
    return stage


def _go_wrong(stage: Stage, machine: Machine) -> None:
    """Half an hour ago."""
    now = timezone.now()
    Node.objects.update(online=False, since=now)
    Guest.objects.filter(template=False, power=Guest.Power.RUNNING).update(
        power=Guest.Power.UNKNOWN, observed_at=now
    )
    Guest.objects.update(observed_at=now)
    Machine.objects.filter(pk=machine.pk).update(heard_at=now)
    stuck = begin("terminate", machine, by=stage.admin)
    Operation.objects.filter(pk=stuck.pk).update(
        status=Status.NEEDS_OPERATOR, started_at=now, step="stop", error=AWAY
    )
    stage.ids["operation"] = str(stuck.pk)
    Checkpoint.objects.filter(handle__endswith=".c2").update(
        state="broken", error="Its snapshot c2 is not in Proxmox any more."
    )
    window = Window.objects.open().get(holder=f"project:{stage.demo.id}", resource="money")
    Window.objects.filter(pk=window.pk).update(spent=window.limit, exhausted_at=now, warned=90)
    Breaker.objects.create(
        project=stage.demo, state="open", until=now + timedelta(days=1), cooldown_seconds=600,
        sentence="It spent $2.10 a minute, eleven times its normal.",
    )  # fmt: skip
    Stray.objects.create(
        vmid=10_900, node="pve2", name="m3", why="It carries our mark, and no guest accounts for it.", confirmed=True
    )  # fmt: skip
    diagnosis = diagnoses.ask("admin")
    found = (
        replace(missing("Connection", AWAY, "systemctl status pveproxy"), section="Connection"),
        replace(unknown("Token", "It could not be asked."), section="Rights"),
    )
    diagnoses.record(diagnosis.pk, Report(found))
