"""Measurements: each prints a table and, as its last line, one JSON object. Ratios within a run are what counts."""
