"""`manage.py ledger`: verify every balance against the holds and entries, or price past calls anew."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from budgets import book, ledger, money, prices, rerate
from projects import actions as projects
from projects.errors import Refusal


class Command(BaseCommand):
    help = "Check the ledger, or re-rate a span of it by today's prices."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser(
            "verify",
            help="check that every balance is what its open holds and ledger entries add up to",
        )
        again = verbs.add_parser("rerate", help="charge past calls by the prices of today")
        again.add_argument("--since", type=_moment, required=True, help="such as 2031-05-06, UTC")
        again.add_argument("--until", type=_moment, help="such as 2031-05-06T12:00Z; now if it is not said")
        again.add_argument("--project", help="only of this project")
        again.add_argument("--dry-run", action="store_true", help="only say what it would come to")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except Refusal as refusal:
            raise CommandError(str(refusal)) from None

    def _verify(self, options: dict[str, Any]) -> None:
        differences = ledger.verify()
        for each in differences:
            self.stderr.write(
                f"budget {each.budget_id}, window {each.window_id}: "
                f"limit {each.limit}, entries say {each.limit_by_entries}; "
                f"holds {each.reserved}, reservations say {each.reserved_by_holds}; "
                f"consumed {each.consumed}, entries say {each.consumed_by_entries}"
            )
        if differences:
            raise CommandError(f"{len(differences)} balances do not add up.")
        self.stdout.write("Every balance is what its holds and entries add up to.")

    def _rerate(self, options: dict[str, Any]) -> None:
        project = projects.named(options["project"]) if options["project"] else None
        span = project, options["since"], options["until"] or timezone.now()
        book.refresh(now=True)
        found = rerate.preview(*span) if options["dry_run"] else rerate.rerate(*span, by=None)
        done = "would be corrected" if options["dry_run"] else "were corrected"
        self.stdout.write(
            f"{found.entries} entries {done} by {money.show(found.micros, prices.CURRENCY)} in all, "
            f"to {prices.version()}."
        )


def _moment(text: str) -> datetime:
    """A day's beginning or a moment; UTC where no offset is given. Raises `ValueError`."""
    at = parse_datetime(text)
    if at is None:
        raise ValueError(text)
    return at if timezone.is_aware(at) else timezone.make_aware(at)
