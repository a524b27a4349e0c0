"""Proxmox VE: the driver, and the embedded node that speaks its API. No models, no ORM."""
