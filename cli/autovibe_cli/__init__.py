"""The command line of autovibe. It speaks the REST API only, and needs nothing but Python's standard library."""

__version__ = "0.1.0"
