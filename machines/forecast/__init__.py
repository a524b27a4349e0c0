"""What a machine will probably use, and what it did."""
