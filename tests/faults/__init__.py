"""Everything that can go wrong at Proxmox, at every operation, while workers die: nothing is orphaned or doubled."""
