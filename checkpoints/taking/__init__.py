"""Taking a checkpoint, as a worker does it: listing, sharing, snapshot, backup."""
