"""More who look at once than there are connections to the database."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import requests

from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

LOOKERS = 120
CONNECTIONS_MORE = 16  # of the 48 that its pool would give


def test_everybody_is_answered_and_the_database_has_connections_left(stack: Stack) -> None:
    def look(_: int) -> int:
        headers = {"Authorization": f"Bearer {stack.token}", "Priority": "u=6"}
        return requests.get(f"{stack.url}/api/v1/machines/", headers=headers, timeout=60).status_code

    with psycopg.connect(stack.environment["DATABASE_URL"], autocommit=True) as database:
        before = most = connections(database)
        with ThreadPoolExecutor(LOOKERS) as crowd:
            looks = [crowd.submit(look, number) for number in range(3 * LOOKERS)]
            while not all(each.done() for each in looks):
                most = max(most, connections(database))
                assert stack.get("machines/counts/")["total"] == 0, "a person is answered meanwhile"

    assert {each.result() for each in looks} == {200}
    assert most <= before + CONNECTIONS_MORE


def connections(connection: "psycopg.Connection[tuple[int]]") -> int:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    ).fetchone()
    assert row
    return row[0]
