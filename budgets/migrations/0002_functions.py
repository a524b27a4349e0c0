"""The ledger's SQL functions, its first partitions, and room for rows that are updated all the time.

The text of the functions is in `budgets/sql/ledger.sql`. A change there is brought in by another migration like this.
"""

from pathlib import Path

from django.db import migrations

FUNCTIONS = (Path(__file__).parent.parent / "sql" / "ledger.sql").read_text()
PREPARE = """
SELECT budgets_partitions((now() - interval '1 month')::date, 4);
ALTER TABLE budgets_window SET (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE budgets_reservation SET (fillfactor = 80);
"""
DROP = """
DROP FUNCTION budgets_partitions, budgets_settle, budgets_reserve, budgets_lock, budgets_roll, budgets_open,
    budgets_move_limit, budgets_end, budgets_begin, budgets_units, budgets_amount;
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0001_initial")]
    operations = [migrations.RunSQL(FUNCTIONS, DROP), migrations.RunSQL(PREPARE, migrations.RunSQL.noop)]
