import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("machines", "0004_prediction"),
    ]

    operations = [
        migrations.AddField(
            model_name="machine",
            name="replays",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="replayed_by",
                to="machines.machine",
            ),
        ),
        migrations.AddField(
            model_name="machine", name="replays_leniently", field=models.BooleanField(default=False)
        ),
        migrations.AddField(
            model_name="machine", name="replays_paced", field=models.BooleanField(default=False)
        ),
    ]
