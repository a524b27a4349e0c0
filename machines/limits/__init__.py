"""What machines use, and what happens when it ends."""
