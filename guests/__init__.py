"""VMs as Proxmox sees them: their numbers, where they are, what was last observed, and how they are made."""
