"""Nothing of one project for another's members: not where an id is named in passing, and not in any list.

That no route answers when a foreign id is in its address is in the tables.
"""

import pytest

from tests.permissions.asking import in_a_browser, over_rest
from tests.permissions.cast import Principal
from tests.permissions.conftest import Stage
from tests.permissions.rows_api import ROWS, SPAWN, VIEW, Row
from tests.permissions.rows_pages import PAGES

# Charlie's own in the address, and Alice's in passing: {her_…}.
IN_PASSING = [
    Row("POST", "machines/", SPAWN, body={"project": "{her_slug}", "prompt": "x"}),
    Row(
        "POST",
        "machines/",
        SPAWN,
        body={"project": "{slug}", "checkpoint": "{her_checkpoint}", "prompt": "x"},
    ),
    Row("POST", "machines/predict/", SPAWN, body={"project": "{her_slug}", "prompt": "x", "type": "vibe"}),
    Row("POST", "machines/{machine}/rollback/", VIEW, body={"checkpoint": "{her_checkpoint}"}),
    Row("GET", "machines/{machine}/rollback/?checkpoint={her_checkpoint}", VIEW),
    Row("GET", "machines/{machine}/at/?checkpoint={her_checkpoint}", VIEW),
    Row(
        "POST",
        "machines/{machine}/restore-file/",
        VIEW,
        body={"checkpoint": "{her_checkpoint}", "path": "hello.py"},
    ),
    Row("GET", "checkpoints/{checkpoint}/compare/?with={her_checkpoint}", VIEW),
    Row("GET", "projects/{slug}/tree/?root={her_checkpoint}", VIEW),
    Row("GET", "machines/?project={her_slug}", VIEW),
    Row("GET", "checkpoints/?project={her_slug}", VIEW),
    Row("GET", "operations/?project={her_slug}", VIEW),
    Row("GET", "events/?project={her_slug}", VIEW),
    Row("GET", "events/export/?project={her_slug}", VIEW),
    Row("POST", "tokens/", VIEW, body={"name": "x", "scopes": ["view_project"], "project": "{her_slug}"}),
    Row(
        "POST", "budget-requests/", VIEW, body={"machine": "{her_machine}", "resource": "money", "amount": 9}
    ),
    Row(
        "POST",
        "transfers/",
        VIEW,
        body={"giver": "{slug}", "taker": "{her_slug}", "resource": "money", "amount": 1},
    ),
]
# The stream does not end; see tests/events.
LISTS = [row for row in ROWS if row.method == "GET" and "{" not in row.path and row.path != "events/stream/"]
EMPTY = {"results": [], "next": None, "previous": None}


@pytest.fixture
def charlie(stage: Stage) -> Principal:
    return next(one for one in stage.everybody if one.name == "charlie")


@pytest.fixture
def ids(stage: Stage) -> dict[str, str]:
    return stage.shop.ids | {f"her_{name}": value for name, value in stage.demo.ids.items()}


@pytest.mark.parametrize("row", IN_PASSING, ids=lambda row: f"{row.method} {row.path} {row.body or ''}")
def test_a_foreign_id_in_passing_is_no_id(
    row: Row, stage: Stage, charlie: Principal, ids: dict[str, str]
) -> None:
    own = stage.shop.__class__(stage.shop.project, stage.shop.machine, ids)

    answer = over_rest(charlie, row, own)

    assert answer.status_code == 404 or answer.json() == EMPTY


@pytest.mark.parametrize("row", LISTS, ids=lambda row: row.path)
def test_no_list_tells_of_another_s(row: Row, stage: Stage, charlie: Principal) -> None:
    _tells_nothing(over_rest(charlie, row, stage.shop), stage)


@pytest.mark.parametrize("name", [name for name, row in PAGES.items() if "{" not in row.path])
def test_no_page_tells_of_another_s(name: str, stage: Stage, charlie: Principal) -> None:
    _tells_nothing(in_a_browser(charlie, PAGES[name], stage.shop), stage)


def _tells_nothing(answer: object, stage: Stage) -> None:
    content = b"".join(answer) if answer.streaming else answer.content  # type: ignore[attr-defined,call-overload]
    hers = (stage.demo.project.id, stage.demo.machine.id, f"/{stage.demo.machine.handle}/", "/p/demo/")
    assert [one for one in hers if str(one) in content.decode()] == []
