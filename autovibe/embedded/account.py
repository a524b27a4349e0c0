"""Under which account PostgreSQL's programs run: they refuse to be root, and in containers one often is."""

import functools
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# 65534 is nobody: initdb insists on a uid that has a name.
_USER_NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


class NoAccount(Exception):
    """There is no account here that PostgreSQL would run under; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """How to start a program so that it does not see itself as root."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess.Popen`."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def runs(self, *argv: str) -> bool:
        """Whether `argv` can be started under this account and ends well."""
        try:
            ended = subprocess.run([*self.prefix, *argv], capture_output=True, **self.popen_options())
        except OSError:
            return False
        return ended.returncode == 0

    def own(self, directory: Path) -> None:
        """Give `directory` and everything in it to this account, where that is another one than ours."""
        if self.uid is None or self.gid is None:
            return
        for path in (directory, *directory.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


@functools.cache
def unprivileged() -> Account:
    """The account to use: our own if we are not root, else root inside a user namespace, else another user.

    The user namespace comes first because files stay ours and no parent directory has to be opened to others.
    Raises NoAccount.
    """
    if os.geteuid() != 0:
        return Account()
    if Account(_USER_NAMESPACE).runs("id", "-un"):
        return Account(_USER_NAMESPACE)
    for name in ("postgres", "nobody"):
        if account := _named(name):
            return account
    raise NoAccount(
        "PostgreSQL refuses to run as root, and this machine has neither user namespaces nor a user named "
        "postgres or nobody. Start autovibe as another user, or set DATABASE_URL to a PostgreSQL server."
    )


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    account = Account(uid=entry.pw_uid, gid=entry.pw_gid)
    return account if account.runs("true") else None
