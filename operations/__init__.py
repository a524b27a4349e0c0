"""What is under way: begin, claim, wait on Proxmox, finish, reap; and the watcher that polls all open tasks."""
