"""Every event in one chain of digests, what there is already first; and nobody may edit, delete or empty it."""

from pathlib import Path

from django.db import migrations

from events.chain.canonical import NOTHING, TEXT

LOCK = 0x65766E74  # "evnt": whoever appends to the chain
SQL = Path(__file__).parent.parent / "sql"
FORWARDS = (SQL / "chain.sql").read_text()
FORWARDS = FORWARDS.replace("{text}", TEXT).replace("{lock}", str(LOCK)).replace("{nothing}", NOTHING)


class Migration(migrations.Migration):
    dependencies = [("events", "0003_sources_and_chain")]
    operations = [migrations.RunSQL(FORWARDS, (SQL / "unchain.sql").read_text())]
