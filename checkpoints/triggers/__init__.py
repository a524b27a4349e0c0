"""When checkpoints are taken by themselves, and what agents did that none takes back."""
