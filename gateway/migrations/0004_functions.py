"""The SQL functions that let calls in and conclude them; their text is in `gateway/sql/calls.sql`."""

from pathlib import Path

from django.db import migrations

FUNCTIONS = (Path(__file__).parent.parent / "sql" / "calls.sql").read_text()
DROP = "DROP FUNCTION gateway_conclude, gateway_admit;"


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0003_recording"),
        ("budgets", "0002_functions"),
        ("machines", "0005_replays"),
    ]
    operations = [migrations.RunSQL(FUNCTIONS, DROP)]
