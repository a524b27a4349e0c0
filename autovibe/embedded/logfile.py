"""A process's log on disk: every line with time and name in front, bounded in size."""

from datetime import UTC, datetime
from pathlib import Path

SIZE_BYTES_MAX = 10 * 1024**2
_LINE_BYTES_MAX = 64 * 1024  # a longer line is cut in two


class LogFile:
    """Takes output in whatever pieces it comes. When full, one older file is kept as `<name>.log.1`."""

    def __init__(self, path: Path, name: str, *, size_bytes_max: int = SIZE_BYTES_MAX) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._name = name
        self._size_bytes_max = size_bytes_max
        self._file = path.open("ab")
        self._unfinished = b""

    def write(self, output: bytes) -> None:
        *lines, self._unfinished = (self._unfinished + output).split(b"\n")
        if len(self._unfinished) > _LINE_BYTES_MAX:
            lines, self._unfinished = [*lines, self._unfinished], b""
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {self._name:8} | ".encode()
        self._file.write(b"".join(now + line + b"\n" for line in lines))
        self._file.flush()
        if self._file.tell() > self._size_bytes_max:
            self._start_over()

    def close(self) -> None:
        if self._unfinished:
            self.write(b"\n")
        self._file.close()

    def _start_over(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._file = self.path.open("ab")


def last_lines(path: Path, count: int = 12) -> str:
    """The end of a log, to show beside a failure."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16 * 1024))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
