"""What is made once for all who see the same shows nobody anything else than what they see alone."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client

from dashboard import shared, snoozing
from dashboard.models import Preferences
from machines.models import Machine
from machines.states import State
from projects import actions
from projects.models import User
from projects.roles import Role
from tests.permissions.conftest import Stage

PATHS = ["/", "/?state=failed", "/?group=project"]


def came_first(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """A middleware: whatever was made for somebody is new enough for whoever asks."""

    def marked(request: HttpRequest) -> HttpResponse:
        request.arrived = -1.0  # type: ignore[attr-defined]
        return get_response(request)

    return marked


@pytest.fixture(autouse=True)
def _undone(stage: Stage) -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def together(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MIDDLEWARE = [f"{__name__}.{came_first.__name__}", *settings.MIDDLEWARE]
    monkeypatch.setattr(shared, "answers", shared.Answers())


def look(user: User, path: str = "/") -> str:
    """The fleet, as an open page fetches it again."""
    browser = Client(headers={"HX-Request": "true"})
    browser.force_login(user, "django.contrib.auth.backends.ModelBackend")
    answer = browser.get(path)
    assert answer.status_code == 200
    return re.sub(r"\d+ (s|min) ago", "just now", answer.content.decode())


def people(stage: Stage) -> dict[str, User]:
    return {one.name: one.user for one in stage.everybody if one.user}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("backwards", [False, True])
def test_everybody_sees_what_they_see_alone(
    stage: Stage, path: str, backwards: bool, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = people(stage)
    alone = {name: look(user, path) for name, user in cast.items()}
    settings.MIDDLEWARE = [f"{__name__}.{came_first.__name__}", *settings.MIDDLEWARE]
    monkeypatch.setattr(shared, "answers", shared.Answers())

    for name in reversed(cast) if backwards else cast:
        assert look(cast[name], path) == alone[name], name

    assert len({*alone.values()}) > 3, "they see different things"


def test_two_who_see_the_same_share_it(stage: Stage, together: None) -> None:
    Machine.objects.filter(pk=stage.demo.machine.pk).update(prompt="As it was")
    ada, bob = (people(stage)[name] for name in ("ada", "bob"))
    bob_s = look(bob)

    Machine.objects.filter(pk=stage.demo.machine.pk).update(prompt="As it is now")

    assert look(bob) == bob_s, "came before"
    assert look(ada) != bob_s, "may do something else"
    twin = User.objects.create(username="twin")
    assert "As it" not in look(twin)


def test_whoever_has_snoozed_something_has_a_page_of_their_own(stage: Stage, together: None) -> None:
    Machine.objects.filter(pk=stage.demo.machine.pk).update(state=State.FAILED, sentence="The disk was full.")
    root, other = people(stage)["root"], User.objects.create_superuser("another")
    snoozing.snooze(root, f"machine:{stage.demo.machine.pk}", "hour")

    line = f'id="needs-{stage.demo.machine.handle}"'
    assert line not in look(root)
    assert line in look(other)


def test_who_is_let_into_a_project_meanwhile_takes_nobody_along(
    stage: Stage, together: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lucky, other = (User.objects.create(username=name) for name in ("lucky", "other"))
    get, waited = shared.answers.get, []

    def get_after_waiting(*asked: Any) -> bytes:
        if not waited:
            waited.append(True)
            actions.admit(stage.demo.project, lucky, Role.VIEWER, by=people(stage)["root"])
        return get(*asked)

    monkeypatch.setattr(shared.answers, "get", get_after_waiting)
    address = f"/machines/{stage.demo.machine.handle}/"

    assert address in look(lucky)
    assert address not in look(other)


def test_times_are_in_the_zone_of_whoever_looks(stage: Stage, together: None) -> None:
    root, other = people(stage)["root"], User.objects.create_superuser("another")
    Preferences.objects.create(user=other, zone="Asia/Tokyo")

    assert "JST" not in look(root)
    assert "JST" in look(other)
