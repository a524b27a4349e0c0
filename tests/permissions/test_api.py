"""Every route of the API × every kind of principal. A route without a row fails."""

import re

import pytest
from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver

from projects import actions as projects
from projects.models import User
from projects.roles import Role
from tests.permissions import cast
from tests.permissions.asking import over_rest, wrong_with
from tests.permissions.cast import Principal
from tests.permissions.conftest import Stage
from tests.permissions.rows_api import ROWS, Row

METHODS = ("get", "post", "put", "patch", "delete")
# Names of nothing, in rows that ask for what is not there.
FIXED = r"(?<=upstreams/)none|(?<=keys/)first|(?<=prices/)claude-sonnet-4-5|(?<=members/)bob"


def test_no_route_is_forgotten() -> None:
    shapes = {(method, _shape(path)) for method, path in (row.route for row in ROWS)}
    assert _routes() - shapes == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
def test_it_answers_everybody_as_they_may(row: Row, stage: Stage) -> None:
    said = [wrong_with(over_rest(one, row, stage.demo), row.expected(one), one) for one in stage.everybody]
    assert not any(said), "\n".join(filter(None, said))


def _routes() -> set[tuple[str, str]]:
    (api,) = [
        one
        for one in get_resolver().url_patterns
        if isinstance(one, URLResolver) and str(one.pattern) == "api/v1/"
    ]
    return {
        (method.upper(), _shape(str(route.pattern)))
        for route in api.url_patterns
        if isinstance(route, URLPattern) and str(route.pattern)
        for method in METHODS
        if hasattr(getattr(route.callback, "cls", None), method)
    }


def _shape(path: str) -> str:
    """A path with its names blanked out."""
    path = re.sub(r"\(\?P<holder>.*\)/\$$", "system/", path.removeprefix("^"))
    return re.sub(rf"<[^>]+>|\{{[^}}]+\}}|{FIXED}", "*", path)


def test_a_machine_whose_project_lets_it_do_nothing_is_told_who_can_change_that(stage: Stage) -> None:
    with transaction.atomic():
        key = cast.machine("m", stage.demo.machine, Role.VIEWER).key
        projects.set_machine_role(stage.demo.project, None, by=User.objects.get(username="alice"))
        answer = over_rest(Principal("m", key=key), Row("GET", "machines/", "anyone"), stage.demo)
        transaction.set_rollback(True)

    assert answer.status_code == 401
    assert "bin/autovibe member machines demo viewer" in answer.json()["detail"]
