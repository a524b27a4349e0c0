"""Checks of the cluster, carried out: in workers, and by `manage.py proxmox check`. They call Proxmox."""

import logging

from django.conf import settings

from guests import diagnoses
from guests.models import Guest
from proxmox.diagnosis.check import diagnose
from proxmox.diagnosis.findings import Report, unknown
from proxmox.diagnosis.setup import Setup

logger = logging.getLogger(__name__)


def carry_out(diagnosis_id: int) -> None:
    """Look, and write down what was found."""
    diagnoses.record(diagnosis_id, _looked())


def _looked() -> Report:
    try:
        return diagnose(setup(frozenset(Guest.objects.values_list("vmid", flat=True))))
    except Exception as error:  # our own fault; whoever asked must still get an answer
        logger.exception("The check of the cluster broke")
        return Report((unknown("Check", f"autovibe failed at it: {error}. Its log says more."),))


def setup(known: frozenset[int] = frozenset()) -> Setup:
    """What the settings say. `known`: the VMIDs of our own guests."""
    verify = settings.PROXMOX_VERIFY_TLS
    return Setup(
        urls=tuple(url.strip() for url in settings.PROXMOX_URL.split(",") if url.strip()),
        token=settings.PROXMOX_TOKEN,
        pool=settings.PROXMOX_POOL,
        template=settings.PROXMOX_TEMPLATE,
        vmids=range(settings.PROXMOX_VMID_FIRST, settings.PROXMOX_VMID_LAST + 1),
        gateway_url=settings.GATEWAY_URL,
        verify_tls={"1": True, "0": False}.get(verify, verify),
        fingerprint=settings.PROXMOX_FINGERPRINT,
        backup_storage=settings.PROXMOX_BACKUP_STORAGE,
        known=known,
    )
