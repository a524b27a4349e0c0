"""What is claimed of checkpoints, and where to go when one does not hold."""
