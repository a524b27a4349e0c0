"""What machines need of their checkpoints: policies, proofs, retention, storage, memory, their past."""
