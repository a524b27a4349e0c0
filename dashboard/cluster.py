"""What the settings page shows of the cluster: the settings in force, and the last check. It asks Proxmox nothing."""

from itertools import groupby
from typing import Any

from django.conf import settings

from dashboard.look import Look
from guests import diagnoses
from guests.models import Diagnosis, Stray
from operations.models import Operation
from proxmox.diagnosis import text
from proxmox.diagnosis.findings import Report, Status

LOOKS = {
    Status.OK: Look("ok", "check"),
    Status.WARNING: Look("warn", "warn"),
    Status.MISSING: Look("bad", "cross"),
    Status.UNKNOWN: Look("neutral", "question"),
}
WORDS = {Status.OK: "OK", Status.WARNING: "Warning", Status.MISSING: "Missing", Status.UNKNOWN: "Unknown"}


def view() -> dict[str, Any]:
    last, asked = diagnoses.latest(finished=True), diagnoses.latest()
    return {
        "subject": diagnoses.SUBJECT,
        "settings": _settings(),
        "last": last,
        "stuck": Operation.objects.needing_operator().select_related("project"),
        "strays": Stray.objects.to_be_shown(),
        "under_way": asked if asked and diagnoses.is_under_way(asked) else None,
        **(_found(last) if last else {}),
    }


def _settings() -> list[tuple[str, str, str]]:
    """What is set, and the variable that sets it. The token's secret is not among it."""
    return [
        ("Address", settings.PROXMOX_URL, "PROXMOX_URL"),
        ("API token", settings.PROXMOX_TOKEN.partition("=")[0], "PROXMOX_TOKEN"),
        ("Certificate", *_trust()),
        ("Pool", settings.PROXMOX_POOL, "PROXMOX_POOL"),
        ("Template", f"VM {settings.PROXMOX_TEMPLATE}", "PROXMOX_TEMPLATE"),
        (
            "VMIDs",
            f"{settings.PROXMOX_VMID_FIRST}–{settings.PROXMOX_VMID_LAST}",
            "PROXMOX_VMID_FIRST, PROXMOX_VMID_LAST",
        ),
        ("Gateway for guests", settings.GATEWAY_URL, "AUTOVIBE_GATEWAY_URL"),
    ]


def _trust() -> tuple[str, str]:
    if settings.PROXMOX_FINGERPRINT:
        return settings.PROXMOX_FINGERPRINT, "PROXMOX_FINGERPRINT"
    verify = settings.PROXMOX_VERIFY_TLS
    words = {"1": "trusted as the system does", "0": "not checked"}.get(verify, f"trusted by {verify}")
    return words if "https:" in settings.PROXMOX_URL else "none, over plain HTTP", "PROXMOX_VERIFY_TLS"


def _found(last: Diagnosis) -> dict[str, Any]:
    report = Report.read(last.findings)
    rows: list[dict[str, Any]] = [
        {
            "id": f"finding-{number}",
            "finding": finding,
            "look": LOOKS[finding.status],
            "word": WORDS[finding.status],
        }
        for number, finding in enumerate(report.findings, 1)
    ]
    return {
        "conclusion": text.conclusion(report),
        "look": LOOKS[report.status],
        "word": WORDS[report.status],
        "wanting": [row for row in rows if row["finding"].status != Status.OK],
        "sections": [
            (name, list(found)) for name, found in groupby(rows, key=lambda row: row["finding"].section)
        ],
    }
