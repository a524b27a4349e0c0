from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # operations are written while the indexes are built

    dependencies = [
        ("operations", "0005_trail"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="operation",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["-finished_at"],
                name="operation_by_end",
            ),
        ),
        AddIndexConcurrently(
            model_name="operation",
            index=models.Index(
                condition=models.Q(
                    models.Q(
                        ("requested_by", None),
                        ("status__in", ["queued", "running", "waiting", "succeeded"]),
                        ("verb__in", ["checkpoint", "survey", "prune", "drop_snapshot"]),
                        _negated=True,
                    ),
                    ("finished_at__isnull", False),
                ),
                fields=["-finished_at"],
                name="operation_by_noted_end",
            ),
        ),
        AddIndexConcurrently(
            model_name="operation",
            index=models.Index(
                condition=models.Q(("status", "succeeded")),
                fields=["verb", "-finished_at"],
                name="operation_by_verb",
            ),
        ),
    ]
