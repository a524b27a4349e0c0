from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("guests", "0003_cluster")]

    operations = [
        migrations.CreateModel(
            name="Diagnosis",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("asked_at", models.DateTimeField(auto_now_add=True)),
                ("asked_by", models.CharField(blank=True, max_length=150)),
                ("finished_at", models.DateTimeField(null=True)),
                ("status", models.CharField(blank=True, max_length=10)),
                ("findings", models.JSONField(default=list)),
            ],
            options={"verbose_name_plural": "diagnoses", "ordering": ["-id"]},
        ),
    ]
