"""`gateway_admit` returns what a machine's project and it itself say of its checkpoints."""

from pathlib import Path

from django.db import migrations

FUNCTIONS = (Path(__file__).parent.parent / "sql" / "calls.sql").read_text()
DROP = "DROP FUNCTION gateway_admit(jsonb, timestamptz);"


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0004_functions"),
        ("machines", "0008_checkpoints"),
        ("checkpoints", "0003_proof"),
    ]
    operations = [migrations.RunSQL(DROP + FUNCTIONS, migrations.RunSQL.noop)]
