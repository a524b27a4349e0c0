"""States that can be returned to: taking them, what files they hold, and how they differ."""
