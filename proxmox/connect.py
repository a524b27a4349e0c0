"""The configured driver, one per thread. Only workers and the hub may import this, and consoles."""

import threading

from django.conf import settings

from proxmox.driver import Driver
from proxmox.pve import PveDriver

_local = threading.local()


def driver() -> Driver:
    """This thread's connection to the Proxmox of the settings."""
    if not hasattr(_local, "driver"):
        verify = settings.PROXMOX_VERIFY_TLS
        _local.driver = PveDriver(
            settings.PROXMOX_URL,
            settings.PROXMOX_TOKEN,
            verify_tls={"1": True, "0": False}.get(verify, verify),
            fingerprint=settings.PROXMOX_FINGERPRINT,
            pool=settings.PROXMOX_POOL,
        )
    made: Driver = _local.driver
    return made
