"""File modifications that a machine starts with: reading them from a request, and refusing what cannot be right."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from django.conf import settings

from projects.errors import Invalid


class Modification(NamedTuple):
    """One file to write into, or delete from, the workspace before the agent starts."""

    path: str
    content: bytes
    mode: int
    removes: bool


def parse(items: Iterable[Mapping[str, Any]]) -> list[Modification]:
    """Modifications from `{path, content | content_base64, mode?, delete?}`. Raises `Invalid` with the path."""
    found = [_one(item) for item in items]
    if len({one.path for one in found}) < len(found):
        raise Invalid("A file is named twice among the modifications.")
    total = sum(len(one.content) for one in found)
    if total > settings.MACHINE_FILES_BYTES_MAX:
        raise Invalid(
            f"The modifications have {total:,} bytes; {settings.MACHINE_FILES_BYTES_MAX:,} is the most. "
            "Have the agent fetch large files, or put them into the template."
        )
    return found


def _one(item: Mapping[str, Any]) -> Modification:
    path = str(item.get("path", ""))
    removes = bool(item.get("delete", False))
    content = b"" if removes else _content(path, item)
    if len(content) > settings.MACHINE_FILE_BYTES_MAX:
        raise Invalid(
            f"{path} has {len(content):,} bytes; {settings.MACHINE_FILE_BYTES_MAX:,} is the most for a file."
        )
    return Modification(_path(path), content, _mode(path, item.get("mode", 0o644)), removes)


def _path(path: str) -> str:
    pure = PurePosixPath(path)
    if (
        not path
        or pure.is_absolute()
        or ".." in pure.parts
        or "\x00" in path
        or str(pure) == "."
        or len(path) > 500
    ):
        raise Invalid(f"{path!r} is not a path inside the workspace: make it relative and without “..”.")
    return str(pure)


def _content(path: str, item: Mapping[str, Any]) -> bytes:
    if "content_base64" in item:
        try:
            return base64.b64decode(item["content_base64"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise Invalid(f"The content_base64 of {path} is not base64.") from None
    content = item.get("content")
    if not isinstance(content, str):
        raise Invalid(f"{path} has no content: give “content” (text), “content_base64”, or “delete”.")
    return content.encode(errors="surrogatepass")


def _mode(path: str, mode: Any) -> int:
    try:
        number = int(mode, 8) if isinstance(mode, str) else int(mode)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= 0o777:
        raise Invalid(f"The mode of {path} must be permission bits such as “0644”.")
    return number
