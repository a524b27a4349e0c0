"""Whoever could operate machines may spawn them, owners read the audit, and tokens go on to do all that they could."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# What holders of the one hold from now on as well, and what it is called.
ALSO = {
    "operate_machines": ("spawn_machines", "Spawn machines, and operate those they spawned"),
    "manage_project": ("read_audit", "Read who did what, from where, with which token"),
}
EVERYTHING = [
    "administer",
    "manage_budgets",
    "manage_project",
    "operate_machines",
    "read_audit",
    "spawn_machines",
    "view_project",
]


def forwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("projects", "ApiToken").objects.update(scopes=EVERYTHING)
    permissions = apps.get_model("auth", "Permission")
    for held, (codename, words) in ALSO.items():
        known = permissions.objects.filter(codename=held, content_type__app_label="projects").first()
        if known is None:  # a new database: nobody holds anything
            continue
        also, _ = permissions.objects.get_or_create(
            codename=codename, content_type=known.content_type, defaults={"name": words}
        )
        for kind, whom in (("User", "user_id"), ("Group", "group_id")):
            grants = apps.get_model("projects", f"Project{kind}ObjectPermission").objects
            for grant in grants.filter(permission=known).values("content_object_id", whom):
                grants.get_or_create(permission=also, **grant)


class Migration(migrations.Migration):
    dependencies = [("projects", "0004_roles"), ("auth", "0012_alter_user_first_name_max_length")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
