"""What the templates need beyond Django."""
