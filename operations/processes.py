"""Which of our own processes are there: each names its database connection (PGAPPNAME), and one that lives is alive."""

from django.db import connection

PROCESSES = {"worker": "autovibe worker", "hub": "autovibe hub"}


def alive() -> set[str]:
    """The names of those that are connected. Raises `DatabaseError`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
        )
        titles = {row[0] for row in cursor.fetchall()}
    return {name for name, title in PROCESSES.items() if title in titles}
