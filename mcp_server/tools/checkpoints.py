"""Checkpoints: take, list and show them, read their files, and how two differ."""

import base64
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import Field

from mcp_server import api
from mcp_server.api import Caller, Refused
from mcp_server.shapes import Checkpoint, Checkpoints, Diff, File, Files
from mcp_server.tools.machines import Limit
from mcp_server.tools.parameters import CheckpointName, MachineName

ENTRIES_MAX = 1000
FILE_BYTES_MAX = 256 * 1024


async def take_checkpoint(
    machine: MachineName,
    ctx: Caller,
    why: Annotated[str, Field(max_length=200, description="A note for those who look at it later.")] = "",
) -> Checkpoint:
    """Take a checkpoint of a machine as it is now, while it goes on. It is there once its standing is captured."""
    return Checkpoint.of(await api.of(ctx).post("machines", machine, "checkpoint", body={"why": why}))


async def list_checkpoints(
    ctx: Caller,
    machine: Annotated[str | None, Field(description="Only those that this machine left.")] = None,
    project: Annotated[str | None, Field(description="Only those of this project.")] = None,
    limit: Limit = 20,
) -> Checkpoints:
    """Checkpoints that you may see, newest first."""
    page = await api.of(ctx).get("checkpoints", machine=machine, project=project, page_size=limit)
    return Checkpoints(checkpoints=[Checkpoint.of(one) for one in page["results"]], more=bool(page["next"]))


async def show_checkpoint(checkpoint: CheckpointName, ctx: Caller) -> Checkpoint:
    """One checkpoint: why it was taken, whether it can be used, what changed."""
    return Checkpoint.of(await api.of(ctx).get("checkpoints", checkpoint))


async def list_files(checkpoint: CheckpointName, ctx: Caller) -> Files:
    """The files of a checkpoint's workspace."""
    found = (await api.of(ctx).get("checkpoints", checkpoint, "files"))["files"]
    more = max(len(found) - ENTRIES_MAX, 0)
    return Files.of({"checkpoint": checkpoint, "files": found[:ENTRIES_MAX], "more": more})


async def read_file(
    checkpoint: CheckpointName,
    path: Annotated[str, Field(description="Relative to the workspace.")],
    ctx: Caller,
) -> File:
    """One file of a checkpoint's workspace: as text where it is one, else in base64."""
    whole = await api.of(ctx).get_bytes("checkpoints", checkpoint, "file", path=path)
    content = whole[:FILE_BYTES_MAX]
    text = _text(content, cut=len(whole) > len(content))
    return File(
        path=path,
        encoding="base64" if text is None else "utf-8",
        content=base64.b64encode(content).decode() if text is None else text,
        bytes=len(whole),
        cut=len(whole) > len(content),
    )


async def diff(
    before: CheckpointName,
    after: CheckpointName,
    ctx: Caller,
    beyond: Annotated[
        str, Field(description="Only paths after this one; see `after` of the last answer.")
    ] = "",
    limit: Limit = 50,
) -> Diff:
    """What changed in the workspace from one checkpoint to another, with unified diffs of texts."""
    page = await api.of(ctx).get(
        "checkpoints", before, "diff", to=after, after=beyond or None, page_size=limit, git="false"
    )
    following = parse_qs(urlsplit(page["next"] or "").query).get("after", [None])[0]
    return Diff.of(page | {"after": following})


async def file_content(checkpoint: str, path: str, ctx: Caller) -> str | bytes:
    """One file of a checkpoint's workspace, as a resource."""
    content = await api.of(ctx).get_bytes("checkpoints", checkpoint, "file", path=path)
    if len(content) > FILE_BYTES_MAX:
        raise Refused(
            f"{path} has {len(content):,} bytes; {FILE_BYTES_MAX:,} is the most here. The API has all of it."
        )
    return content if (text := _text(content, cut=False)) is None else text


def _text(content: bytes, *, cut: bool) -> str | None:
    """What is text, as text; a character that the cut went through is left out."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        broken_at_the_end = cut and error.start > len(content) - 4
        return content[: error.start].decode() if broken_at_the_end else None
