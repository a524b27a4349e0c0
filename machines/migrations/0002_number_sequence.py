"""Machine numbers ("m12") come from a sequence, so that a handle is never used twice."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("machines", "0001_initial")]
    operations = [migrations.RunSQL("CREATE SEQUENCE machines_number", "DROP SEQUENCE machines_number")]
