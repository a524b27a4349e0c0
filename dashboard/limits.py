"""The forms that set, change and lift a limit, and what that would mean, said before it is done."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.utils import timezone

from budgets import burn, quantities
from budgets.limits import Holder
from budgets.models import Budget, Window
from budgets.resources import Period, Resource
from dashboard import outlook, words
from machines import actions as machines
from machines.limits.payer import holder_of
from projects import actions as projects
from projects.errors import Invalid, NotThere, Refusal
from projects.models import Project, User

WHOLE, OF_MACHINE = "project", "machine"
RAISE_PERCENT = 50


class ChangeForm(forms.Form):
    """What can be changed of a limit that stands. The amount is in the resource's unit, as `quantities.parse` reads."""

    amount = forms.CharField(max_length=30)
    timezone = forms.CharField(max_length=60, required=False)
    carry_over = forms.BooleanField(required=False)
    landing_percent = forms.IntegerField(min_value=0, max_value=50, required=False)
    marks = forms.CharField(max_length=60, required=False)

    def __init__(self, *args: Any, resource: str, period: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resource, self.period = resource, period

    def clean_amount(self) -> int:
        try:
            return quantities.parse(self.cleaned_data["amount"], self.resource)
        except Refusal as error:
            raise forms.ValidationError(str(error)) from None

    def clean_timezone(self) -> str:
        zone: str = self.cleaned_data["timezone"] or settings.BUDGET_TIME_ZONE
        if zone not in available_timezones():
            raise forms.ValidationError(f"There is no time zone {zone!r}; write it like Europe/Berlin.")
        return zone

    def clean_marks(self) -> list[int]:
        words_ = self.cleaned_data["marks"].replace(",", " ").replace("%", " ").split()
        if not all(word.isdecimal() and 1 <= int(word) <= 100 for word in words_) or len(words_) > 10:
            raise forms.ValidationError("Write per cents from 1 to 100, such as 50, 75, 90.")
        return sorted({int(word) for word in words_})

    @property
    def options(self) -> dict[str, Any]:
        """The rest of the arguments of `change_limit`; what was left empty is none of them."""
        names = ("timezone", "carry_over", "landing_percent", "marks")
        return {name: value for name in names if (value := self.cleaned_data[name]) is not None}


class NewForm(ChangeForm):
    """A limit of a project, of a member of it, or of one of its machines; or of the whole system."""

    holder = forms.CharField(max_length=160, required=False)
    machine = forms.CharField(max_length=40, required=False)
    resource_name = forms.ChoiceField(choices=[(name, words.RESOURCES[name]) for name in Resource.values])
    period_name = forms.ChoiceField(choices=[(name, words.PERIODS[name]) for name in Period.values])

    def __init__(self, sent: Any = None, **kwargs: Any) -> None:
        asked = sent or kwargs.get("initial", {})
        resource = asked.get("resource_name", "")
        known = resource in Resource.values
        super().__init__(
            sent,
            resource=resource if known else Resource.MONEY,
            period=asked.get("period_name", ""),
            **kwargs,
        )


def fresh() -> dict[str, Any]:
    """What a new limit usually is."""
    return {
        "resource_name": Resource.MONEY,
        "period_name": Period.MONTH,
        "timezone": settings.BUDGET_TIME_ZONE,
        "marks": "50, 75, 90",
    }


def present(budget: Budget) -> dict[str, Any]:
    """What a standing limit is, as its form has it."""
    return {
        "amount": quantities.typed(budget.limit, budget.resource),
        "timezone": budget.timezone,
        "carry_over": budget.carry_over,
        "landing_percent": budget.landing_percent,
        "marks": ", ".join(map(str, budget.marks)),
    }


def holder(project: Project | None, form: NewForm, user: User) -> Holder:
    """Whose the new limit is. Raises `Invalid` for a member or machine that is not of the project."""
    if project is None:
        return Holder.of_system()
    asked = form.cleaned_data["holder"]
    if asked == OF_MACHINE:
        try:
            machine = machines.find(form.cleaned_data["machine"].strip(), user=user)
        except NotThere as error:
            raise Invalid(str(error)) from None
        if machine.project_id != project.id:
            raise Invalid(f"{machine.handle} is a machine of {machine.project.slug}, not of {project.slug}.")
        return holder_of(machine)
    if asked in ("", WHOLE):
        return Holder.of_project(project)
    return Holder.of_member(project, projects.member(project, asked.removeprefix("member:")))


def holder_of_budget(budget: Budget) -> Holder:
    return Holder(budget.holder, budget.scope, budget.project)


def raised(budget: Budget) -> int:
    """The limit after one click."""
    return budget.limit + budget.limit * RAISE_PERCENT // 100


@dataclass(frozen=True)
class Preview:
    """What a changed limit would mean."""

    sentences: list[str]
    tone: str


def preview(window: Window, limit: int) -> Preview:
    """`window` is the open one of the budget; `limit` what its budget would be changed to."""
    budget = window.budget
    after = window.limit + limit - budget.limit
    bound = window.spent + window.reserved
    if after < bound:
        return Preview(
            [f"{_amount(bound, budget)} is spent or promised already; the limit cannot be less than that."],
            "bad",
        )
    before, rises, window.limit = window.left, after >= window.limit, after
    said = [f"Left: {_amount(max(before, 0), budget)} now, {_amount(max(window.left, 0), budget)} then."]
    if not window.is_rate:
        said.append(outlook.tell(burn.of(window, timezone.now())).sentence)
    if window.exhausted_at and window.left > max(before, 0):
        said.append("Machines that were paused for want of it go on.")
    return Preview(said, "ok" if rises else "warn")


def lifted(budget: Budget) -> list[str]:
    """What follows when this limit is lifted."""
    others = (
        Budget.objects.standing().filter(holder=budget.holder, resource=budget.resource).exclude(pk=budget.pk)
    )
    what = words.RESOURCES[budget.resource].lower()
    if others.exists():
        return [f"Its other limits of {what} stay, and so do everybody else's."]
    if budget.kind == "project" and budget.resource == Resource.MONEY:
        return [
            f"{budget.scope} then has no limit of money of its own. Nothing may be spent on account of a project "
            "without one, unless another limit of money applies to it."
        ]
    return [f"{budget.scope} may then use as much {what} as the other limits allow."]


def _amount(quantity: int, budget: Budget) -> str:
    return words.amount(quantity, budget.resource, budget.currency)
