import django.db.models.deletion
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

# The index of a foreign key has no name in Django's state of it. Altering the field would also drop the key itself and
# make it again, under locks on lines and machines.
WITHOUT_INDEX = migrations.SeparateDatabaseAndState(
    database_operations=[
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS machines_logline_machine_id_0f57c044",
            "CREATE INDEX CONCURRENTLY machines_logline_machine_id_0f57c044 ON machines_logline (machine_id)",
        )
    ],
    state_operations=[
        migrations.AlterField(
            model_name="logline",
            name="machine",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="log",
                to="machines.machine",
            ),
        )
    ],
)


class Migration(migrations.Migration):
    atomic = False  # lines are written while the indexes are built

    dependencies = [
        ("machines", "0009_messages"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="logline",
            index=models.Index(fields=["machine", "id"], name="log_line_by_machine"),
        ),
        WITHOUT_INDEX,
        AddIndexConcurrently(
            model_name="logline",
            index=models.Index(fields=["at", "id"], name="log_line_by_time"),
        ),
        AddIndexConcurrently(
            model_name="logline",
            index=models.Index(
                condition=models.Q(("stream", "out"), _negated=True),
                fields=["stream", "at", "id"],
                name="log_line_by_stream",
            ),
        ),
        AddIndexConcurrently(
            model_name="logline",
            index=GinIndex(
                models.Func(
                    models.F("text"),
                    template="to_tsvector('simple', regexp_replace(regexp_replace(%(expressions)s, '\\u001B\\[[0-?]*[ -/]*[@-~]|[^[:alnum:]]+', ' ', 'g'), '([a-z])([A-Z])', '\\1 \\2', 'g'))",
                ),
                name="log_line_by_words",
                gin_pending_list_limit=1024,
            ),
        ),
    ]
