"""Reading checkpoints: the tree, lines of descent, differences, and tar files."""
