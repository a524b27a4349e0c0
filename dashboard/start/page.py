"""The steps of a first run, for whoever looks at them. That somebody set them aside is an event of theirs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.cache import caches

from dashboard.forms import fresh_op
from dashboard.look import Look
from dashboard.start import cluster
from dashboard.start.facts import DISMISSED, Facts, gather
from dashboard.start.step import Step
from events import actions as events
from gateway.upstreams import registry
from machines.states import BUSY, State
from projects.models import Project, User
from projects.roles import Right

REMEMBERED_SECONDS = 24 * 3600
SUGGESTED = "10"  # money a day
DEMO = "Write a fizzbuzz with tests and make them pass"
LOOKS = {
    "done": Look("ok", "check"),
    "enough": Look("info", "check"),
    "busy": Look("info", "turn", busy=True),
    "open": Look("neutral", "dot"),
    "failed": Look("bad", "cross"),
}
WORDS = {
    "done": "Done",
    "enough": "Good enough to begin",
    "busy": "Under way",
    "open": "To do",
    "failed": "Does not work",
}


@dataclass(frozen=True)
class Row:
    """A step as it is shown."""

    step: Step

    @property
    def look(self) -> Look:
        return LOOKS[self.step.state]

    @property
    def word(self) -> str:
        return "Optional" if self.step.optional and not self.step.ready else WORDS[self.step.state]


def view(user: User) -> dict[str, Any]:
    """The context of the page."""
    found = steps(user, gather(user))
    needed = [step for step in found if not step.optional]
    return {
        "rows": [Row(step) for step in found],
        "ready": sum(step.ready for step in needed),
        "needed": len(needed),
        "next": next((step for step in needed if not step.ready), None),
        "spawns": Project.objects.permitted(user, Right.SPAWN).order_by("slug"),
        "manages": Project.objects.permitted(user, Right.BUDGETS).order_by("slug"),
        "op": fresh_op(),
        "demo": DEMO,
        "suggested": SUGGESTED,
    }


def steps(user: User, facts: Facts) -> list[Step]:
    """Everything that this person can see to, in order."""
    own = [_project(facts.projects, user), _budget(facts), _machine(facts)]
    if user.administers:
        return [_account(user), *cluster.steps(facts), _model(), *own]
    return [*own, _token(facts)]


def strip(user: User, projects: Iterable[Project]) -> dict[str, Any] | None:
    """What the fleet page shows of it; None once all is ready, or it was set aside. Costs nothing from then on.

    `projects` are those that the user sees.
    """
    remembered, key = caches["process"], f"start:{user.pk}"
    if remembered.get(key):
        return None
    facts = gather(user, projects)
    needed = [] if facts.dismissed else [step for step in steps(user, facts) if not step.optional]
    waiting = [step for step in needed if not step.ready]
    if not waiting:
        remembered.set(key, True, REMEMBERED_SECONDS)
        return None
    return {"next": waiting[0], "ready": len(needed) - len(waiting), "needed": len(needed)}


def dismiss(user: User) -> None:
    """Leave it off the fleet page from now on, for this person."""
    if not gather(user, []).dismissed:
        events.record(DISMISSED, subject=user.subject, by=user.username)


def _account(user: User) -> Step:
    return Step(
        "account",
        "An administrator's account",
        "done",
        f"You are signed in as {user.username}, who may change everything here.",
        "Somebody has to connect autovibe, set its limits and let others in. Give it a second factor.",
        link=("Your account", "dashboard:account"),
    )


def _model() -> Step:
    registry.refresh()
    names = sorted({target.name for target in registry.targets()})
    why = "Agents think with it, and what it costs goes on their budgets. Keys stay here: no machine ever holds one."
    if names:
        return Step("model", "A model provider", "done", f"Models are answered by {', '.join(names)}.", why)
    if registry.offline():
        said, state = (
            "None is set up, so the offline model answers. It can do the demo below, and no more.",
            "enough",
        )
    else:
        said, state = "Providers are set up, but all are switched off or their keys cannot be read.", "failed"
    command = "bin/autovibe upstream add claude https://api.anthropic.com --dialect messages --key main"
    return Step("model", "A model provider", state, said, why, commands=(command,))


def _project(projects: list[Project], user: User) -> Step:
    why, title = "Machines, budgets and members belong to projects.", "A project"
    if projects:
        many = f"{projects[0].slug} and {len(projects) - 1} more" if projects[1:] else projects[0].slug
        return Step("project", title, "done", f"You are in {many}.", why)
    if user.administers:
        said = "There is none that you are in."
        return Step("project", title, "open", said, why, commands=("manage.py bootstrap --project demo",))
    said = "You are in none yet. Ask one of its owners to invite you."
    return Step("project", title, "open", said, why)


def _budget(facts: Facts) -> Step:
    why = "Nothing can be spent without one, and nothing beyond it."
    if facts.limited:
        said = f"There is a limit on money in {', '.join(facts.limited)}."
        return Step("budget", "A first budget", "done", said, why, link=("Budgets", "dashboard:budgets"))
    whose = "" if facts.manages else " An owner of the project can set one."
    said = f"No project has a limit on money yet.{whose}"
    return Step("budget", "A first budget", "open", said, why, form="budget" if facts.manages else "")


def _machine(facts: Facts) -> Step:
    title = "A first machine"
    why = f"It shows that everything works together: “{DEMO}” takes about two minutes and leaves checkpoints."
    if facts.kept:
        said = f"A machine has run, and left {facts.kept} to go back to."
        return Step("machine", title, "done", said, why, thing=("checkpoint", facts.kept))
    last = facts.last
    if last is None:
        return Step("machine", title, "open", "None has run yet.", why, form="machine")
    if last.state in BUSY or last.state in {State.REQUESTED, State.RUNNING}:
        said = f"{last.handle} is {last.get_state_display().lower()}; it has left no checkpoint yet."
        return Step("machine", title, "busy", said, why, thing=("machine", last.handle))
    state = "failed" if last.state == State.FAILED else "open"
    said = f"{last.handle} left no checkpoint. {last.sentence}".strip()
    return Step("machine", title, state, said, why, form="machine", thing=("machine", last.handle))


def _token(facts: Facts) -> Step:
    has = facts.has_token
    said = "You have one." if has else "You have none."
    why = "The command line and your programs act with it, and can do no more than you."
    link = ("API tokens", "dashboard:tokens")
    return Step("token", "An API token", "done" if has else "open", said, why, link=link, optional=True)
