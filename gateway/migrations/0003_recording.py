import django.db.models.deletion
from django.db import migrations, models

MODES = [("off", "Off"), ("redacted", "Redacted"), ("full", "Full")]


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0002_upstreams"),
        ("machines", "0005_replays"),
        ("projects", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="RecordingPolicy",
            fields=[
                (
                    "project",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="recording_policy",
                        serialize=False,
                        to="projects.project",
                    ),
                ),
                ("mode", models.CharField(choices=MODES, max_length=10)),
                ("days", models.PositiveSmallIntegerField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("mode__in", ["off", "redacted", "full"])),
                        name="recording_mode_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("days__gte", 1)), name="recording_days_are_some"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Recording",
            fields=[
                (
                    "call",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="recording",
                        serialize=False,
                        to="gateway.call",
                    ),
                ),
                ("mode", models.CharField(choices=MODES, max_length=10)),
                ("run", models.UUIDField(null=True)),
                ("shape", models.CharField(max_length=32)),
                ("request", models.BinaryField(null=True)),
                ("request_bytes", models.PositiveIntegerField()),
                ("response", models.BinaryField(null=True)),
                ("response_bytes", models.PositiveIntegerField()),
                ("status", models.PositiveSmallIntegerField()),
                ("content_type", models.CharField(max_length=100)),
                ("complete", models.BooleanField()),
                ("recorded_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="Replayed",
            fields=[
                (
                    "call",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="replayed",
                        serialize=False,
                        to="gateway.call",
                    ),
                ),
                (
                    "original",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="gateway.call"
                    ),
                ),
                ("departure", models.TextField(blank=True)),
            ],
        ),
    ]
