"""Whose budgets a machine draws on."""

from budgets.resources import Payer
from machines.models import Machine


def payer_of(machine: Machine) -> Payer:
    return Payer(machine.project_id, machine.id, machine.created_by_id)
