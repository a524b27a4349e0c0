"""Kept answers, and counts of calls: the latter in an unlogged table, as a crash may lose them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="KeptAnswer",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("body_digest", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField(default=0)),
                ("sealed", models.BinaryField(default=b"")),
                ("location", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="CallCount",
            fields=[
                ("caller", models.CharField(max_length=200, primary_key=True, serialize=False)),
                ("began_at", models.DateTimeField()),
                ("calls", models.PositiveIntegerField()),
            ],
        ),
        migrations.RunSQL("ALTER TABLE autovibe_callcount SET UNLOGGED", migrations.RunSQL.noop),
    ]
