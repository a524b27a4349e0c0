"""Static files, put together when they are collected: what a style sheet or script imports becomes a part of it.

In development nothing is put together, for browsers follow the same imports by themselves. Nothing is made smaller
either: compressed, white space weighs next to nothing.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from whitenoise.storage import CompressedManifestStaticFilesStorage

Sources = Mapping[str, tuple[Storage, str]]  # by their name below STATIC_URL, where each comes from
# Ours alone, and from the same folder: what a style sheet refers to stays where it is.
_IMPORTS = {
    "css/": re.compile(r'^@import "(?P<name>[\w-]+\.css)";\n', re.MULTILINE),
    "js/": re.compile(r'^import "\./(?P<name>[\w-]+\.js)";\n', re.MULTILINE),
}
# What pages load from others; `bin/assets` fetches it.
FETCHED = ("vendor/htmx/htmx.min.js", "vendor/uplot/uPlot.min.css", "vendor/xterm/xterm.css")
# Names that modules would share need more than putting one after the other.
_OTHER = re.compile(r"^(@import|import\b(?!\()|export\b).*", re.MULTILINE)


def joined(name: str, read: Callable[[str], str]) -> str | None:
    """The file with what it imports in its place, each script in a scope of its own; None if it imports nothing.

    `read` gives what is in a file of that name. Raises `ImproperlyConfigured` for an import of another kind.
    """
    folder = f"{name.partition('/')[0]}/"
    imports = _IMPORTS.get(folder)
    source = read(name) if imports else ""
    if imports is None or not imports.search(source):
        return None

    def put(found: re.Match[str]) -> str:
        part = read(folder + found["name"])
        return f"{{\n{part}}}\n" if folder == "js/" else part

    whole = imports.sub(put, source)
    if other := _OTHER.search(whole):
        raise ImproperlyConfigured(f"{name} cannot be put together with: {other[0]}")
    return whole


class BundlingStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Where static files are collected, named by what is in them and compressed."""

    def post_process(self, paths: Sources, dry_run: bool = False, **options: Any) -> Iterator[Any]:
        if dry_run:
            return
        if missing := [name for name in FETCHED if name not in paths]:
            raise ImproperlyConfigured(
                f"Without {', '.join(missing)} no page can be shown. Run bin/assets, and collect again."
            )
        yield from super().post_process({**paths, **self._joined(paths)}, dry_run, **options)

    def _joined(self, paths: Sources) -> Sources:
        """Of the sources and not of what was collected, which is whole already where it was collected before."""

        def read(name: str) -> str:
            storage, path = paths[name]
            with storage.open(path) as file:
                return bytes(file.read()).decode()

        found: dict[str, tuple[Storage, str]] = {}
        for name in paths:
            whole = joined(name, read) if name.endswith((".css", ".js")) else None
            if whole is not None:
                self.delete(name)
                self.save(name, ContentFile(whole.encode()))
                found[name] = (self, name)
        return found
