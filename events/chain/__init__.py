"""The chain of digests over all events: its signed heads, and how edits, gaps and truncation are found."""
