"""What a refused call is told: who has how much left of what, what the call needs, and what to do."""

from collections.abc import Mapping

from budgets import money
from budgets.models import Budget, Resource
from projects.models import Project

# By resource, the least that can be held for the call: its whole prompt, and an answer just long enough to be of use.
Needs = Mapping[str, int]


def no_budget(project: Project) -> str:
    return (
        f"Project {project.slug} has no budget for money, so nothing may be spent in it. "
        f"Give it one with `bin/autovibe budget set {project.slug} money 10`."
    )


def too_little(budget: Budget, project: Project, needs: Needs) -> str:
    """The budget does not do, whatever the calls under way turn out to cost."""
    left = amount(max(budget.unspent, 0), budget, project)
    others = ", enough for other calls" if budget.has_room else ""
    return (
        f"{budget.scope} has {left} of its {amount(budget.limit, budget, project)} left{others}; "
        f"even a short answer to this call may cost {amount(needs[budget.resource], budget, project)}. "
        f"Raise the limit with `{command(budget, project, needs)}`."
    )


def held_elsewhere(budget: Budget, project: Project, needs: Needs) -> str:
    """The budget would do, if calls under way did not hold so much of it."""
    free, held = max(budget.left, 0), budget.reserved
    return (
        f"{budget.scope} has {amount(free, budget, project)} free while calls under way hold "
        f"{amount(held, budget, project)}; even a short answer to this call may cost "
        f"{amount(needs[budget.resource], budget, project)}. Try again when they have ended."
    )


def amount(quantity: int, budget: Budget, project: Project) -> str:
    """The quantity in the budget's unit: `5.00 USD`, `12,000 tokens`, `1 call`."""
    if budget.resource == Resource.MONEY:
        return money.show(quantity, project.currency)
    return f"{quantity:,} {budget.resource if quantity != 1 else budget.resource.removesuffix('s')}"


def command(budget: Budget, project: Project, needs: Needs) -> str:
    """The command that makes room: twice the limit, or as much as the call needs if that is more."""
    limit = max(2 * budget.limit, budget.limit - budget.unspent + 2 * needs[budget.resource])
    units = -(-limit // money.MICROS) if budget.resource == Resource.MONEY else limit
    machine = f" --machine {budget.scope.removeprefix('Machine ')}" if budget.machine_id else ""
    return f"bin/autovibe budget set {project.slug} {budget.resource} {units}{machine}"
