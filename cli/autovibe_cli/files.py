"""Commands on what a checkpoint holds: list, read and download its files, or put one back into a machine."""

from __future__ import annotations

import os
import stat
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress

from autovibe_cli import formats
from autovibe_cli.client import Json
from autovibe_cli.errors import Failure, Usage
from autovibe_cli.grammar import Commands, Session


def add(commands: Commands) -> None:
    files = commands.verb(
        "files", _files, "The files of a checkpoint's workspace.", examples=["files m12.c3"]
    )
    files.add_argument("reference", metavar="CHECKPOINT")
    cat = commands.verb(
        "cat", _cat, "One file of a checkpoint, byte for byte.", examples=["cat m12.c3 src/main.py > main.py"]
    )
    cat.add_argument("reference", metavar="CHECKPOINT")
    cat.add_argument("path", metavar="PATH", help="relative to the workspace")
    _add_download(commands)
    _add_restore(commands)


def _add_download(commands: Commands) -> None:
    download = commands.verb(
        "download",
        _download,
        "The workspace of a checkpoint as a tar file.",
        examples=["download m12.c3", "download m12.c3 -o - | tar -x"],
    )
    download.add_argument("reference", metavar="CHECKPOINT")
    download.add_argument(
        "-o", "--output", metavar="FILE", help="write here (m12.c3.tar); - is standard output"
    )
    download.add_argument("--transcripts", action="store_true", help="with the agent's own history")


def _add_restore(commands: Commands) -> None:
    restore = commands.verb(
        "restore-file",
        _restore,
        "Put one file of a checkpoint back into a machine; the present is kept first.",
        examples=["restore-file m12 m12.c3 src/main.py"],
    )
    restore.add_argument("reference", metavar="MACHINE")
    restore.add_argument("checkpoint", metavar="CHECKPOINT")
    restore.add_argument("path", metavar="PATH", help="relative to the workspace")
    restore.add_argument(
        "--delete", action="store_true", help="where the checkpoint has no such file, delete the machine's"
    )


def _files(session: Session, args: Namespace) -> None:
    def render(answer: Json) -> None:
        if not answer["files"]:
            session.out.notice(f"The workspace of {answer['handle']} is empty.")
        for entry in answer["files"]:
            session.out.line(_entry(entry))

    session.out.show(session.client.get("checkpoints", args.reference, "files"), render)


def _entry(entry: Json) -> str:
    kind = {"dir": stat.S_IFDIR, "link": stat.S_IFLNK}.get(entry["kind"], stat.S_IFREG)
    length = formats.size(entry["size"]) if entry["kind"] == "file" else "-"
    name = entry["path"] + {"dir": "/", "link": f" → {entry.get('target')}"}.get(entry["kind"], "")
    return f"{stat.filemode(kind | entry.get('mode', 0))}  {length:>10}  {name}"


def _cat(session: Session, args: Namespace) -> None:
    content = session.client.get_bytes("checkpoints", args.reference, "file", path=args.path)
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _download(session: Session, args: Namespace) -> None:
    target = args.output or f"{args.reference.rpartition('/')[2]}.tar"
    if target == "-":
        if sys.stdout.isatty():
            raise Usage("A tar file is nothing for a terminal: say -o FILE, or send it on with a pipe.")
        for piece in _pieces(session, args):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    written = _save(session, args, target)
    session.out.show(
        {"file": target, "bytes": written},
        lambda saved: session.out.line(f"{saved['file']}, {formats.size(saved['bytes'])}"),
    )


def _pieces(session: Session, args: Namespace) -> Iterator[bytes]:
    transcripts = "true" if args.transcripts else None
    return session.client.download(
        "checkpoints", args.reference, "tar", accept="application/x-tar", transcripts=transcripts
    )


def _save(session: Session, args: Namespace, target: str) -> int:
    """Write the file, whole or not at all; returns its length."""
    partial, written = f"{target}.part", 0
    try:
        with open(partial, "wb") as file:
            for piece in _pieces(session, args):
                written += file.write(piece)
        os.replace(partial, target)
    except OSError as error:
        raise Failure(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)
    return written


def _restore(session: Session, args: Namespace) -> None:
    operation = session.client.post(
        "machines",
        args.reference,
        "restore-file",
        body={"checkpoint": args.checkpoint, "path": args.path, "delete": args.delete},
    )
    session.out.show(
        operation,
        lambda _: session.out.line(f"{args.path} of {args.checkpoint} is being put into {args.reference}."),
    )
    if not session.out.as_json:
        session.out.notice(f"How far it is: {session.prog} operation show {operation['id']}")
