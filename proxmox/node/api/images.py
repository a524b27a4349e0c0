"""Bringing images to a directory storage: uploaded with the request, or fetched by the node from an address."""

import hashlib
import os
import ssl
from http.client import HTTPResponse
from pathlib import Path
from typing import cast
from urllib.parse import quote
from urllib.request import HTTPSHandler, build_opener

from proxmox.node import files, uploads
from proxmox.node.api.storage import STORAGE, known
from proxmox.node.errors import Failure
from proxmox.node.host import Host
from proxmox.node.personalities import Personality
from proxmox.node.routes import FLAG, Call, route
from proxmox.node.schema import Parameter
from proxmox.node.tasks import Task

_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
_IMAGE = {
    "content": Parameter(optional=False, enum=("iso", "vztmpl", "import")),
    "filename": Parameter(optional=False, max_length=255),
    "checksum": Parameter(requires="checksum-algorithm"),
    "checksum-algorithm": Parameter(enum=_ALGORITHMS, requires="checksum"),
}
FETCH_SECONDS = 60  # without a byte


@route("POST", STORAGE + "/upload", tmpfilename=Parameter(pattern=f"{uploads.NOMINAL}[0-9a-f]+"), **_IMAGE)
def upload(host: Host, call: Call) -> str:
    storage, kind, nominal = known(host, call), call["content"], call.get("tmpfilename", "")
    if not storage.path:
        raise Failure(f"can't upload to storage type '{storage.plugin}'")
    source = uploads.found(host.uploads, nominal)
    try:
        name = files.checked_name(kind, call["filename"])
        if not storage.holds(kind):
            raise Failure(f"storage '{storage.storage}' does not support '{kind}' content")
    except Failure:
        source.unlink()
        raise
    return host.tasks.start(
        "imgcopy", "", call.user, lambda task: _copy(host, call, storage, source, name, task)
    )


def _copy(host: Host, call: Call, storage: Personality, source: Path, name: str, task: Task) -> None:
    kind, nominal = call["content"], call["tmpfilename"]
    target = files.nominal(storage, f"{kind}/{name}")
    task.log(f"starting file import from: {nominal}")
    try:
        _verify(call, source, task)
        task.log(f"target node: {host.name}")
        task.log(f"target file: {target}")
        task.log(f"file size is: {source.stat().st_size}")
        task.log(f"command: cp -- {nominal} {target}")
        task.checkpoint()
        with source.open("rb") as content:
            host.files.add(storage.storage, kind, name, content)
    finally:
        source.unlink(missing_ok=True)
    task.log("finished file import successfully")


@route(
    "POST",
    STORAGE + "/download-url",
    url=Parameter(optional=False, pattern="https?://.*"),
    compression=Parameter(enum=("gz", "lzo", "zst", "bz2")),
    **{"verify-certificates": FLAG},
    **_IMAGE,
)
def download(host: Host, call: Call) -> str:
    storage, kind = known(host, call), call["content"]
    if not storage.path:
        raise Failure(f"can't upload to storage type '{storage.plugin}', not a file based storage!")
    if not storage.holds(kind):
        raise Failure(f"storage '{storage.storage}' is not configured for content-type '{kind}'")
    name = files.checked_name(kind, call["filename"])
    # The id of a task takes no colon, space or slash (pve-common: encode_text).
    subject = quote(name, safe="")
    return host.tasks.start(
        "download", subject, call.user, lambda task: _download(host, call, storage, name, task)
    )


def _download(host: Host, call: Call, storage: Personality, name: str, task: Task) -> None:
    if call.get("compression"):
        raise Failure(f"decompression not supported for {call['content']}")
    target = files.nominal(storage, f"{call['content']}/{name}")
    task.log(f"downloading {call['url']} to {target}")
    fetched = host.uploads / f"download-{os.urandom(8).hex()}"
    fetched.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(call, fetched, task)
        _verify(call, fetched, task)
        with fetched.open("rb") as content:
            host.files.add(storage.storage, call["content"], name, content)
    finally:
        fetched.unlink(missing_ok=True)
    task.log(f"download of '{call['url']}' to '{target}' finished")


def _fetch(call: Call, target: Path, task: Task) -> None:
    context = ssl.create_default_context()
    if not call.get("verify-certificates", True):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        opened = build_opener(HTTPSHandler(context=context)).open(call["url"], timeout=FETCH_SECONDS)
        with cast(HTTPResponse, opened) as answer, target.open("wb") as file:
            while chunk := answer.read(1 << 20):
                task.checkpoint()
                file.write(chunk)
    except OSError as error:
        raise Failure(f"download failed: {error}") from None


def _verify(call: Call, path: Path, task: Task) -> None:
    algorithm, expected = call.get("checksum-algorithm"), call.get("checksum", "")
    if not algorithm:
        return
    with path.open("rb") as file:
        got = hashlib.file_digest(file, algorithm).hexdigest()
    if got != expected.lower():
        raise Failure(f"checksum mismatch: got '{got}' != expect '{expected}'")
    task.log("calculating checksum...OK, checksum verified")
