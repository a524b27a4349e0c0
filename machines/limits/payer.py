"""Whose budgets a machine draws on."""

from budgets.limits import Holder
from budgets.resources import Payer
from machines.models import Machine


def payer_of(machine: Machine) -> Payer:
    return Payer(machine.project_id, machine.id, machine.created_by_id, machine.project.hub)


def holder_of(machine: Machine) -> Holder:
    """Whose the limits of this machine alone are."""
    return Holder.of_machine(machine.project, machine.id, f"Machine {machine.handle}")
