"""Which pages this process serves. A page that was made by another version is told, and offers to reload."""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from django.conf import settings

# What pages are made of, below the project's directory.
SOURCES = {"templates": "*.html", "static/css": "*.css", "static/js": "*.js", "dashboard": "*.py"}


@lru_cache
def digest() -> str:
    """The same in every process that serves the same pages: over what they are made of, read once."""
    made = sha256(settings.VERSION.encode())
    for folder, pattern in SOURCES.items():
        for path in sorted(Path(settings.BASE_DIR, folder).rglob(pattern)):
            made.update(path.read_bytes())
    return made.hexdigest()[:12]
