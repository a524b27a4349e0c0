from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("machines", "0002_number_sequence"),
    ]

    operations = [
        migrations.AddField(
            model_name="machine",
            name="network",
            field=models.CharField(
                choices=[("sealed", "Sealed"), ("hub", "Hub"), ("open", "Open")],
                default="open",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="machine",
            constraint=models.CheckConstraint(
                condition=models.Q(("network__in", ["sealed", "hub", "open"])),
                name="machine_network_is_known",
            ),
        ),
    ]
