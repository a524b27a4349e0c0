import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("machines", "0006_awaiting"),
    ]

    operations = [
        migrations.AddField(
            model_name="lease",
            name="limited",
            field=django.contrib.postgres.fields.ArrayField(
                models.CharField(max_length=20), default=list, size=None
            ),
        ),
    ]
