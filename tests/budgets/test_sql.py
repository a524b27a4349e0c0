"""The functions in SQL: what a migration brought in stays as it is until another brings in the next."""

import hashlib
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.db.migrations.loader import MigrationLoader

ROOT = Path(__file__).resolve().parents[2]

# Whoever changes one of these files adds a migration that executes it anew, and writes both down here: an installation
# that has the migrations so far would go on with the functions that it has.
BROUGHT_IN = {
    "budgets/sql/ledger.sql": ("0006_no_truncate", "685651f8f87b7a88"),
    "budgets/sql/rerate.sql": ("0004_sharing", "312b2db9c6126c5e"),
    "events/sql/chain.sql": ("0004_chain", "3e54bdc4572e050b"),
    "events/sql/unchain.sql": ("0004_chain", "fa9075b13cdce73a"),
    "gateway/sql/calls.sql": ("0005_policy", "f9bf31007de04ad2"),
}


def test_every_file_of_functions_is_known() -> None:
    roots = [Path(app.path) for app in apps.get_app_configs() if Path(app.path).is_relative_to(ROOT)]
    found = {f"{file.relative_to(ROOT)}" for root in roots for file in (root / "sql").glob("*.sql")}
    assert found == set(BROUGHT_IN)


@pytest.mark.parametrize("file", BROUGHT_IN)
def test_a_change_comes_with_a_migration(file: str) -> None:
    migration, digest = BROUGHT_IN[file]
    text = (ROOT / file).read_text()
    brought = MigrationLoader(None).disk_migrations[file.split("/")[0], migration]
    sources = [
        getattr(operation, name, "") for operation in brought.operations for name in ("sql", "reverse_sql")
    ]
    pattern = re.sub(r"\\{(text|lock|nothing)\\}", ".*?", re.escape(text)) + r"\Z"
    assert any(re.search(pattern, str(source), re.DOTALL) for source in sources)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest
