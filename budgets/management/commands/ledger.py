"""`manage.py ledger verify`: recompute every balance from the holds and the ledger."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from budgets import ledger


class Command(BaseCommand):
    help = "Check that every budget's balance is what its open holds and ledger entries add up to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=["verify"])

    def handle(self, **options: Any) -> None:
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
