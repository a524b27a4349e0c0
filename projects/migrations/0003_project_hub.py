from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0002_greediness")]

    operations = [
        migrations.AddField(
            model_name="project", name="hub", field=models.CharField(default="primary", max_length=40)
        )
    ]
