"""What a worker does for a machine: one plan per verb. Nothing here knows about requests."""
