"""Files that come with a request: kept aside until its handler takes them."""

import re
import secrets
import time
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web

from proxmox.node.errors import Failure

NOMINAL = "/var/tmp/pveupload-"  # where pveproxy puts them, and what task logs say
_KEPT_SECONDS = 3600  # of a request that was refused
# pve-http-server: AnyEvent.pm looks for the fields in this order, and gives up on any other.
_ORDER = ("content", "checksum-algorithm", "checksum", "filename")


async def received(request: web.Request, directory: Path) -> dict[str, Any]:
    """The fields of a multipart form; the file becomes `filename` and `tmpfilename`. Raises `Failure`."""
    _clear(directory)
    fields: dict[str, Any] = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name not in _ORDER:
            raise Failure("Bad Request", status=400, bare=True)
        if fields and _ORDER.index(part.name) < _ORDER.index(list(fields)[-1]):
            raise Failure("Bad Request", status=400, bare=True)
        if part.name != "filename":
            fields[part.name] = (await part.text()).strip()
            continue
        if not part.filename:
            raise Failure("upload failed")
        number = secrets.token_hex(16)
        with (directory / number).open("wb") as target:
            while chunk := await part.read_chunk(1 << 16):
                target.write(chunk)
        return fields | {"filename": part.filename, "tmpfilename": NOMINAL + number}
    raise Failure("upload failed")


def found(directory: Path, nominal: str) -> Path:
    """The file that a request has brought. Raises `Failure`."""
    match = re.fullmatch(NOMINAL + r"([0-9a-f]+)", nominal)
    path = directory / match[1] if match else None
    if path is None or not path.is_file():
        raise Failure(
            f"temporary file '{nominal}' does not exist" if nominal else "missing temporary file name"
        )
    return path


def _clear(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.iterdir():
        if file.stat().st_mtime < time.time() - _KEPT_SECONDS:
            file.unlink(missing_ok=True)
