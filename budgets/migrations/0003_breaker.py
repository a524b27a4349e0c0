import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

# Which windows an overrun is still to be told of: looked for every few seconds, and there are hardly ever any.
UNTOLD = "CREATE INDEX budgets_overrun_untold ON budgets_window (id) WHERE overrun <> overrun_told"

# The spending of the last minutes is asked for every few seconds; that is quick once new pages are in the index, which
# otherwise waits for a vacuum of the whole partition.
BY_TIME = """
DROP INDEX ledger_by_time;
CREATE INDEX ledger_by_time ON budgets_ledgerentry USING brin (created_at)
    WITH (pages_per_range = 32, autosummarize = on);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0001_initial"),
        ("budgets", "0002_functions"),
    ]

    operations = [
        migrations.CreateModel(
            name="Breaker",
            fields=[
                (
                    "project",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="breaker",
                        serialize=False,
                        to="projects.project",
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("factor", models.FloatField(default=4.0)),
                (
                    "state",
                    models.CharField(
                        choices=[("closed", "Closed"), ("open", "Open"), ("half_open", "half open")],
                        default="closed",
                        max_length=10,
                    ),
                ),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
                ("until", models.DateTimeField(null=True)),
                ("cooldown_seconds", models.PositiveIntegerField(default=0)),
                ("probe", models.UUIDField(null=True)),
                ("sentence", models.TextField(blank=True)),
                ("normal", models.BigIntegerField(null=True)),
                ("normal_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["closed", "open", "half_open"])),
                        name="breaker_state_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("factor__gt", 1)), name="breaker_factor_is_sensible"
                    ),
                ],
            },
        ),
        migrations.RunSQL(UNTOLD, "DROP INDEX budgets_overrun_untold"),
        migrations.RunSQL(BY_TIME, migrations.RunSQL.noop),
    ]
