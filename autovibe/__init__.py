"""Settings, addresses and processes: the only package that knows every room."""

__version__ = "0.1.0"
