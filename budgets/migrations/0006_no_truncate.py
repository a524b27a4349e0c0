"""The ledger cannot be emptied either; and the functions as they are by now in `budgets/sql/ledger.sql`."""

from pathlib import Path

from django.db import migrations

FUNCTIONS = (Path(__file__).parent.parent / "sql" / "ledger.sql").read_text()
EACH = """
DO $$
DECLARE
    name regclass;
BEGIN
    FOR name IN SELECT relid FROM pg_partition_tree('budgets_ledgerentry') LOOP
        EXECUTE format('{} ON %s {}', name);
    END LOOP;
END $$;
"""
FORBID = EACH.format(
    "CREATE OR REPLACE TRIGGER no_truncate BEFORE TRUNCATE",
    "FOR EACH STATEMENT EXECUTE FUNCTION budgets_ledger_is_append_only()",
)
ALLOW = EACH.format("DROP TRIGGER IF EXISTS no_truncate", "")


class Migration(migrations.Migration):
    dependencies = [("budgets", "0005_pools")]
    operations = [
        migrations.RunSQL(FUNCTIONS, migrations.RunSQL.noop),
        migrations.RunSQL(FORBID, ALLOW),
    ]
