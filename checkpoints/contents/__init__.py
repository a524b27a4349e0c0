"""What is kept of checkpoints in our own database: lists of files, contents, and what they take up."""
