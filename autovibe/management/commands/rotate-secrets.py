"""`manage.py rotate-secrets`: encrypt everything anew under the newest SECRET_KEY, so that older ones can go."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from autovibe import secrets

SHOWN = 5  # of the rows that cannot be read


class Command(BaseCommand):
    help = (
        "Encrypt upstream keys, second factors and recorded calls anew under SECRET_KEY; what sealed them so far has "
        "to be in SECRET_KEY_FALLBACKS. It may run while autovibe does, and be interrupted and repeated."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")
        parser.add_argument("--batch", type=int, default=secrets.BATCH, help="rows in one transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        counts = secrets.rotate(dry_run=options["dry_run"], batch=max(options["batch"], 1))
        done = "would be encrypted anew" if options["dry_run"] else "encrypted anew"
        for count in counts:
            more = f", {len(count.unreadable)} cannot be read" if count.unreadable else ""
            self.stdout.write(f"{count.title}: {count.renewed} {done}, {count.current} were up to date{more}")
        if lost := [
            f"{count.title} {', '.join(count.unreadable[:SHOWN])}" for count in counts if count.unreadable
        ]:
            raise CommandError(
                f"Sealed under a key that is not known here: {'; '.join(lost)}. "
                "Add that key to SECRET_KEY_FALLBACKS and run this again, or set these anew."
            )
        if not options["dry_run"]:
            self.stdout.write(
                "Once every process runs with the new SECRET_KEY, SECRET_KEY_FALLBACKS can be emptied."
            )
