"""Log-in, users and their tokens, groups, roles, and access control lists."""
