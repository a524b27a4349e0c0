"""`manage.py audit`: verify the chain of events, sign and print its head, export it, print the key."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from events.chain import checks, export, heads, keys
from events.chain.verify import Heads, Report, verify
from events.chain.walk import Row, Walk
from events.models import Event, Link


class Command(BaseCommand):
    help = "Verify the chain of events, print its signed head or our public key, or export it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        check = verbs.add_parser("verify", help="find and name every edit, gap, insertion and truncation")
        check.add_argument(
            "--heads", type=Path, action="append", help="signed heads that were kept elsewhere"
        )
        check.add_argument("--file", type=Path, help="an export, instead of the database")
        check.add_argument("--key", action="append", help="of the heads, with --file; `audit key` prints it")
        check.add_argument("--partial", action="store_true", help="the export leaves events out")
        verbs.add_parser("head", help="sign the end of the chain, to keep it elsewhere")
        verbs.add_parser("key", help="print the public keys, the one in use first")
        out = verbs.add_parser("export", help="write every event as a line of JSON, with its digest")
        out.add_argument("--since", type=_moment, help="such as 2031-05-06, UTC")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except heads.Unreadable as error:
            raise CommandError(str(error)) from None

    def _verify(self, options: dict[str, Any]) -> None:
        report = self._of_file(options) if options["file"] else checks.run(options["heads"], self._progress())
        for found in report.findings:
            self.stderr.write(found.sentence)
        if report.findings:
            raise CommandError(f"{len(report.findings)} findings in {report.links} events.")
        self.stdout.write(
            f"{report.links} events follow one another up to position {report.position}, {report.digest}; "
            f"{report.heads} signed heads agree."
        )

    def _of_file(self, options: dict[str, Any]) -> Report:
        known = options["key"] or []
        if options["heads"] and not known:
            raise CommandError("Heads are checked with --key: the public key that they were signed with.")
        rows = export.rows(options["file"])
        first = next(rows, None)
        walk = Walk(partial=options["partial"])
        if first is not None and first.previous is not None:
            walk.position, walk.digest = first.position - 1, first.previous
        kept = [Heads(str(path), heads.of_file(path), known) for path in options["heads"] or ()]
        return verify(_again(first, rows), kept, walk, self._progress())

    def _head(self, options: dict[str, Any]) -> None:
        last = Link.objects.last()
        if last is None:
            raise CommandError("There are no events yet.")
        self.stdout.write(heads.make(last).line)

    def _key(self, options: dict[str, Any]) -> None:
        self.stdout.write("\n".join(keys.public()))

    def _export(self, options: dict[str, Any]) -> None:
        after = export.position_before(options["since"]) if options["since"] else 0
        for lines in export.chunks(Event.objects.all(), after=after):
            self.stdout.write(lines, ending="")

    def _progress(self) -> Any:
        if not self.stderr.isatty():
            return None
        return lambda links: self.stderr.write(f"\r{links:,} events …", ending="")


def _again(first: Row | None, rows: Any) -> Any:
    if first is not None:
        yield first
    yield from rows


def _moment(text: str) -> datetime:
    """A day's beginning or a moment; UTC where no offset is given. Raises `ValueError`."""
    at = parse_datetime(text)
    if at is None:
        raise ValueError(text)
    return at if timezone.is_aware(at) else timezone.make_aware(at)
