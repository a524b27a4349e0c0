import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


def figures():
    return django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), null=True, size=3)


class Migration(migrations.Migration):
    dependencies = [
        ("machines", "0003_machine_network"),
    ]

    operations = [
        migrations.CreateModel(
            name="Prediction",
            fields=[
                (
                    "machine",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="prediction",
                        serialize=False,
                        to="machines.machine",
                    ),
                ),
                ("method", models.CharField(max_length=20)),
                ("neighbours", models.PositiveSmallIntegerField(default=0)),
                ("cost_micros", figures()),
                ("tokens", figures()),
                ("calls", figures()),
                ("seconds", figures()),
                ("suggested_micros", models.BigIntegerField(null=True)),
                ("sketch", models.BinaryField(default=bytes)),
                ("made_at", models.DateTimeField(auto_now_add=True)),
                ("used_cost_micros", models.BigIntegerField(null=True)),
                ("used_tokens", models.BigIntegerField(null=True)),
                ("used_calls", models.BigIntegerField(null=True)),
                ("used_seconds", models.BigIntegerField(null=True)),
                ("used_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("used_at__isnull", False)),
                        fields=["-used_at"],
                        name="prediction_known",
                    )
                ],
            },
        ),
    ]
