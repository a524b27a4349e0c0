from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="greediness",
            field=models.DecimalField(decimal_places=2, default=Decimal("0.5"), max_digits=3),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(
                condition=models.Q(("greediness__gte", 0), ("greediness__lte", 1)),
                name="greediness_is_from_0_to_1",
            ),
        ),
    ]
