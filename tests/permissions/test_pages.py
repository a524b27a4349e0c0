"""Every page × everybody: 404 for outsiders, 403 for members without the right, the sign-in page for strangers."""

import pytest

from dashboard import urls
from tests.permissions.asking import in_a_browser, wrong_with
from tests.permissions.cast import Principal
from tests.permissions.conftest import Stage
from tests.permissions.rows_pages import PAGES

STRANGER = Principal("stranger", alive=False)
CLOSED = [name for name, row in PAGES.items() if row.need != "everybody"]


def test_no_route_is_forgotten() -> None:
    assert {route.name for route in urls.urlpatterns} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_to_whom_it_may(name: str, stage: Stage) -> None:
    row = PAGES[name]
    people = [one for one in stage.everybody if one.user]
    said = [wrong_with(in_a_browser(one, row, stage.demo), row.expected(one), one) for one in people]
    assert not any(said), "\n".join(filter(None, said))


@pytest.mark.parametrize("name", CLOSED)
class TestStrangers:
    def test_they_are_sent_to_sign_in(self, name: str, stage: Stage) -> None:
        response = in_a_browser(STRANGER, PAGES[name], stage.demo)

        assert response.status_code == 302
        assert response["Location"].startswith("/sign-in/?next=/")

    def test_a_fragment_that_asks_for_a_stranger_is_not_given_the_sign_in_page(
        self, name: str, stage: Stage
    ) -> None:
        response = in_a_browser(STRANGER, PAGES[name], stage.demo, HX_Request="true")

        assert response.status_code == 401
        assert not response.content
