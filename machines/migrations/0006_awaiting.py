import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("machines", "0005_replays"),
    ]

    operations = [
        migrations.AddField(model_name="machine", name="awaiting", field=models.JSONField(default=dict)),
        migrations.AlterField(
            model_name="machine",
            name="paused_for",
            field=models.CharField(
                blank=True,
                choices=[
                    ("person", "Person"),
                    ("budget", "Budget"),
                    ("breaker", "Breaker"),
                    ("guest", "Guest"),
                ],
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="Lease",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reservation_id", models.UUIDField(unique=True)),
                ("began_at", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("rates", models.JSONField()),
                (
                    "machine",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="leases",
                        to="machines.machine",
                    ),
                ),
            ],
            options={
                "ordering": ["began_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("machine",),
                        name="one_open_lease_per_machine",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ended_at", None), ("ended_at__gte", models.F("began_at")), _connector="OR"
                        ),
                        name="lease_ends_after_it_began",
                    ),
                ],
            },
        ),
    ]
