"""What happened, append-only, and the doorbell of the live pages. Subjects are strings; knows no other room."""
