"""The ledger's trigger: entries are appended; neither Django nor psql edits one by accident."""

from django.db import migrations

CREATE = """
CREATE FUNCTION budgets_ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The ledger is append-only: enter a correction instead.';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON budgets_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION budgets_ledger_is_append_only();
"""
DROP = """
DROP TRIGGER append_only ON budgets_ledgerentry;
DROP FUNCTION budgets_ledger_is_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, DROP)]
