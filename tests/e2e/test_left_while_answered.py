"""Browsers that leave while their form is being answered, and send it again: it is done once all the same."""

import re
import socket
import time
from uuid import uuid4

import psycopg
import pytest
import requests

from tests.e2e.stack import PASSWORD, Stack, eventually

pytestmark = pytest.mark.e2e

PAGE = "/settings/tokens/"
TIMES = 80
_HELD = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 28526"  # autovibe.repeats._TURNS
)
_MADE = "SELECT count(*) FROM projects_apitoken WHERE name = %s"


class Browser:
    """Signed in, with the page's form."""

    def __init__(self, url: str) -> None:
        self._url, self._session = url, requests.Session()
        token = self._csrf("/sign-in/")
        said = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token}
        self._session.post(f"{url}/sign-in/", said, headers={"Origin": url}, timeout=30).raise_for_status()
        self._token = self._csrf(PAGE)

    def send(self, name: str) -> int:
        return self._session.send(self._prepared(name), timeout=30).status_code

    def send_and_leave(self, name: str, seconds: float) -> None:
        asked = self._prepared(name)
        head = "".join(f"{key}: {value}\r\n" for key, value in asked.headers.items())
        host = self._url.removeprefix("http://")
        with socket.create_connection(tuple(host.split(":"))) as connection:
            connection.sendall(f"POST {PAGE} HTTP/1.1\r\nHost: {host}\r\n{head}\r\n{asked.body}".encode())
            time.sleep(seconds)

    def _prepared(self, name: str) -> requests.PreparedRequest:
        said = {
            "csrfmiddlewaretoken": self._token,
            "once": name,
            "name": name,
            "scopes": "view_project",
            "days": "1",
        }
        asked = requests.Request("POST", self._url + PAGE, data=said, headers={"Origin": self._url})
        return self._session.prepare_request(asked)

    def _csrf(self, path: str) -> str:
        page = self._session.get(self._url + path, timeout=30).text
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)', page)
        assert found, page
        return found[1]


def test_a_form_whose_sender_left_is_done_once_and_never_stuck(stack: Stack) -> None:
    browser = Browser(stack.url)
    names = [str(uuid4()) for _ in range(TIMES)]
    for number, name in enumerate(names):
        browser.send_and_leave(name, 0.001 * number)

    again = [browser.send(name) for name in names]

    with psycopg.connect(stack.environment["DATABASE_URL"], autocommit=True) as database:
        assert [count(database, _MADE, name) for name in names] == [1] * TIMES
        assert set(again) <= {200, 409}  # done by now, or had been
        eventually(lambda: count(database, _HELD) == 0, what="the locks of the forms")


def count(database: "psycopg.Connection[tuple[int]]", sql: str, *said: str) -> int:
    row = database.execute(sql, said).fetchone()
    assert row
    return row[0]
