"""What was asked for in a project, and what is offered to and from others: for its budget page."""

from collections.abc import Collection
from typing import Any, TypeVar

from django import forms
from django.db.models import Q, QuerySet

from budgets import quantities, reports
from budgets.models import Budget, BudgetRequest, Transfer
from budgets.resources import Period, Resource
from dashboard import words
from machines.limits import spending
from projects.errors import Refusal
from projects.models import Project, User
from projects.roles import Right

RECENT = 5
Asked = TypeVar("Asked", BudgetRequest, Transfer)


class AmountForm(forms.Form):
    """How much, in the unit of `resource`, and why."""

    amount = forms.CharField(max_length=30)
    note = forms.CharField(max_length=300, required=False)

    def amount_of(self, resource: str) -> int:
        """Raises `Invalid`."""
        return quantities.parse(self.cleaned_data["amount"], resource)


class AskForm(AmountForm):
    """More of one limit."""

    budget = forms.IntegerField()


class TransferForm(AmountForm):
    """Part of a limit to another project, or from it."""

    other = forms.CharField(max_length=40)
    direction = forms.ChoiceField(choices=[("give", "Give to"), ("ask", "Ask of")])
    resource_name = forms.ChoiceField(choices=[(name, words.RESOURCES[name]) for name in Resource.values])
    period_name = forms.ChoiceField(
        choices=[(name, words.PERIODS[name]) for name in Period.values if name != Period.MINUTE]
    )


def view(project: Project, held: Collection[str]) -> dict[str, Any]:
    """The context of the section: what waits for somebody, and the last that was decided. `held` are one's rights."""
    asked = BudgetRequest.objects.filter(project=project).select_related(
        "budget__project", "asked_by", "decided_by"
    )
    moved = Transfer.objects.filter(Q(giver=project) | Q(taker=project)).select_related(
        "giver", "taker", "proposed_by", "decided_by"
    )
    pending, decided = _parted(asked)
    transfers, decided_transfers = _parted(moved)
    handles = spending.handles(one.machine_id for one in pending if one.machine_id)
    return {
        "requests": [(one, handles.get(one.machine_id, "") if one.machine_id else "") for one in pending],
        "transfers": transfers,
        "decided_requests": decided,
        "decided_transfers": decided_transfers,
        "operates": Right.SPAWN in held,
    }


def _parted(found: "QuerySet[Asked]") -> "tuple[list[Asked], list[Asked]]":
    """Those that wait, and the last that were decided. One query."""
    last = found.exclude(state="pending").order_by("-decided_at").values("pk")[:RECENT]
    both = list(found.filter(Q(state="pending") | Q(pk__in=last)))
    decided = [one for one in both if one.decided_at]
    decided.sort(key=lambda one: one.decided_at or one.created_at, reverse=True)
    return [one for one in both if one.state == "pending"], decided


def askable(project: Project) -> list[tuple[Budget, str]]:
    """The limits of which one may ask for more, and what they are called."""
    return [
        (
            window.budget,
            f"{words.RESOURCES[window.resource]} {words.PERIODS[window.budget.period]}, {window.budget.scope}",
        )
        for window in reports.standing([project.id])
        if not window.budget.pooled
    ]


def others(project: Project, user: User) -> list[Project]:
    """Projects that one could give to or ask of: those that one sees."""
    return list(Project.objects.permitted(user, "view_project").exclude(pk=project.pk))


def shown(refusal: Refusal | None, form: forms.Form) -> str:
    """What is wrong with the form, in one sentence; "" when nothing is."""
    if refusal:
        return str(refusal)
    return " ".join(f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items())
