"""Builds a scene into the database of DATABASE_URL, which has to be migrated and empty. Run by `tests.scenes.serving`.

    python -m tests.scenes.build NAME

Prints one JSON object: the ids that fill the placeholders of addresses, and the admin's session cookie.
"""

import json
import os
import sys
from importlib import import_module

# A module each, with a function `build`.
NAMES = {"empty": "tests.scenes.stage", "typical": "tests.scenes.typical",
         "trouble": "tests.scenes.trouble", "busy": "tests.scenes.busy"}  # fmt: skip


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autovibe.settings")
    import django
    from django.conf import settings

    django.setup()
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    }  # nobody listens
    from django.db import connection
    from django_q.models import OrmQ

    from tests.scenes.stage import signed_in

    stage = import_module(NAMES[sys.argv[1]]).build()
    OrmQ.objects.all().delete()  # no worker takes part
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    print(json.dumps({"ids": stage.ids, "cookie": signed_in(stage.admin)}))


if __name__ == "__main__":
    main()
