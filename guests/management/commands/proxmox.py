"""`manage.py proxmox check`: what stands between autovibe and the configured cluster, and what mends it."""

import json
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from guests import checks
from guests.actions import NoRoom, fresh_vmid
from guests.models import Guest
from proxmox.diagnosis import probe, text
from proxmox.diagnosis.check import diagnose
from proxmox.diagnosis.findings import Finding, Report, Status, missing

INTERRUPTED = 130


class Command(BaseCommand):
    help = "Check the configured Proxmox VE. Exits 1 when something is missing without which machines cannot run."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["check"])
        parser.add_argument(
            "--probe", action="store_true", help="also make a VM from the template, use it, and remove it"
        )
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        report = diagnose(checks.setup(_known()))
        if not options["json"]:
            for line in text.render(report):
                self.stdout.write(line)
        if options["probe"] and report.status != Status.MISSING:
            report = Report(report.findings + tuple(self._probe(silent=options["json"])))
        if options["json"]:
            self.stdout.write(json.dumps({"status": report.status, "findings": report.plain()}, indent=2))
        if report.status == Status.MISSING:
            sys.exit(1)

    def _probe(self, *, silent: bool) -> list[Finding]:
        found: list[Finding] = []

        def tell(finding: Finding) -> None:
            found.append(finding)
            if not silent:
                self.stdout.write("\n".join(text.lines(finding)))

        if not silent:
            self.stdout.write(f"\n{probe.SECTION}")
        try:
            with _interruptible_once():
                probe.probe(checks.setup(), fresh_vmid(), tell)
        except DatabaseError as error:
            tell(
                missing(
                    "Database", f"A VMID of our own comes from it: {str(error).strip()}", "manage.py migrate"
                )
            )
        except NoRoom as error:
            tell(missing("VMIDs", str(error)))
        except KeyboardInterrupt:
            self.stderr.write("Interrupted.")
            sys.exit(INTERRUPTED)
        return found


def _known() -> frozenset[int]:
    """The VMIDs of our guests; none before there is a database, which comes later than the first check."""
    try:
        return frozenset(Guest.objects.values_list("vmid", flat=True))
    except DatabaseError:
        return frozenset()


@contextmanager
def _interruptible_once() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM interrupts; the next ones must not keep the VM from being removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
