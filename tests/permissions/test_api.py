"""Every route of the API × every kind of principal. A route without a row fails."""

import re

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.permissions.asking import over_rest, wrong_with
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
