"""Pages: load → permission → one action → render."""
