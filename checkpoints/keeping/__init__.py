"""Which checkpoints stay, and deleting those that go."""
