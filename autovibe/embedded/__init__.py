"""What `bin/dev` starts on one machine: a private PostgreSQL, the embedded node and autovibe's own processes.

Nothing here is imported by the product itself; in production other things start these processes.
"""
