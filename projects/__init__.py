"""Projects, the people in them, what they may do there, and their API tokens."""
