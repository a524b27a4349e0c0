"""VMIDs come from our own sequence, so that a number is never used twice."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("guests", "0001_initial")]
    operations = [migrations.RunSQL("CREATE SEQUENCE guests_vmid", "DROP SEQUENCE guests_vmid")]
