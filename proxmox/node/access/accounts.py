"""Users, tokens, groups, roles and access control lists, in one file that only its owner may read.

Passwords and token secrets are kept as hashes. What somebody may do with all this is in `permissions`.
"""

import copy
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from proxmox.node.access.roles import built_in
from proxmox.node.errors import Failure

ROOT = "root@pam"


@dataclass
class Token:
    secret: str  # its SHA-256
    privsep: bool = True  # has only what its own access control lists give, within what its user may
    expire: int = 0
    comment: str = ""
    own: bool = False  # the node was started with it

    @property
    def usable(self) -> bool:
        return not self.expire or self.expire >= time.time()


@dataclass
class User:
    enable: bool = True
    expire: int = 0
    details: dict[str, str] = field(default_factory=dict)  # firstname, lastname, email, comment, keys
    password: str = ""  # salt and hash
    groups: list[str] = field(default_factory=list)
    tokens: dict[str, Token] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        return self.enable and (not self.expire or self.expire >= time.time())


Roles = dict[str, bool]  # role → whether it holds below the path, too


@dataclass
class Records:
    """Everything. An access control list is kept by path, then by kind and name of who has it."""

    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)  # name → comment
    roles: dict[str, list[str]] = field(default_factory=dict)  # beside the built-in ones
    acl: dict[str, dict[str, Roles]] = field(default_factory=dict)  # "user:tester@pve" → roles


class Accounts:
    """The node's accounts. Reading needs no lock: `edit` puts a whole new copy in place."""

    def __init__(self, path: Path, release: str, own_token: str, root_password: str) -> None:
        """`own_token`: the `user@realm!name=secret` that the node is started with, which may do everything."""
        self._path = path
        self._lock = threading.RLock()
        self._built_in = built_in(release)
        self.now = _read(path)
        with self.edit("start") as records:
            _admit_root(records, root_password)
            _admit_own(records, own_token)

    @contextmanager
    def edit(self, what: str) -> Iterator[Records]:
        """Change the accounts. A `Failure` in the block comes out as "`what` failed: …", and nothing is changed."""
        with self._lock:
            fresh = copy.deepcopy(self.now)
            try:
                yield fresh
            except Failure as failure:
                if type(failure) is Failure:
                    raise Failure(f"{what} failed: {failure.text}") from None
                raise
            _write(self._path, fresh)
            self.now = fresh

    def forget_vm(self, vmid: int) -> None:
        """The next VM of that number starts without access control lists (AccessControl.pm: remove_vm_access)."""
        if f"/vms/{vmid}" in self.now.acl:
            with self.edit("ACL update") as records:
                records.acl.pop(f"/vms/{vmid}", None)

    # --- who ---

    def token_valid(self, credential: str) -> bool:
        """Whether `user@realm!name=secret` is a token that may be used now."""
        name, _, secret = credential.rpartition("=")
        user, token = self.user_of(name), self.token(name)
        return bool(
            user
            and user.usable
            and token
            and token.usable
            and hmac.compare_digest(token.secret, digest(secret))
        )

    def password_valid(self, userid: str, password: str) -> bool:
        """Whether that is the user's password, and the user may log in."""
        user = self.now.users.get(userid)
        return bool(user and user.usable and user.password and _matches(password, user.password))

    def user_of(self, principal: str) -> User | None:
        """The user, or the one that a token belongs to."""
        return self.now.users.get(principal.partition("!")[0])

    def token(self, principal: str) -> Token | None:
        """A token by `user@realm!name`."""
        user = self.user_of(principal)
        return user.tokens.get(principal.partition("!")[2]) if user else None

    def usable(self, principal: str) -> bool:
        """Whether the user is there and enabled."""
        user = self.user_of(principal)
        return bool(user and user.usable)

    # --- what ---

    def roles(self) -> dict[str, frozenset[str]]:
        """Every role's privileges."""
        return self._built_in | {name: frozenset(held) for name, held in self.now.roles.items()}

    def is_built_in(self, role: str) -> bool:
        return role in self._built_in

    @property
    def privileges(self) -> frozenset[str]:
        """Every privilege of this release."""
        return self._built_in["Administrator"]


def user(records: Records, userid: str) -> User:
    """A user. Raises `Failure`."""
    if userid not in records.users:
        raise Failure(f"no such user ('{userid}')")
    return records.users[userid]


def token_of(records: Records, userid: str, tokenid: str) -> Token:
    """A user's token. Raises `Failure`."""
    if tokenid not in user(records, userid).tokens:
        raise Failure(f"no such token '{tokenid}' for user '{userid}'")
    return records.users[userid].tokens[tokenid]


def forget(records: Records, kind: str, name: str) -> None:
    """Take a user, token or group out of every access control list."""
    for entries in records.acl.values():
        entries.pop(f"{kind}:{name}", None)
    records.acl = {path: entries for path, entries in records.acl.items() if entries}


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def hashed(password: str) -> str:
    """A password as it is kept."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{_scrypt(password, salt)}"


def _matches(password: str, kept: str) -> bool:
    salt, _, wanted = kept.partition(":")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), wanted)


def _scrypt(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1).hex()


def _admit_root(records: Records, password: str) -> None:
    root = records.users.setdefault(ROOT, User())
    root.password = hashed(password) if password else ""


def _admit_own(records: Records, credential: str) -> None:
    """Only the token of this start is the node's own; one of an earlier start is forgotten."""
    for each in records.users.values():
        each.tokens = {name: token for name, token in each.tokens.items() if not token.own}
    name, _, secret = credential.partition("=")
    userid, _, tokenid = name.partition("!")
    owner = records.users.setdefault(userid, User())
    owner.tokens[tokenid] = Token(digest(secret), privsep=False, own=True)
    if userid != ROOT:
        records.acl.setdefault("/", {})[f"user:{userid}"] = {"Administrator": True}


def _read(path: Path) -> Records:
    if not path.exists():
        return Records()
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    users = {
        name: User(**kept | {"tokens": {each: Token(**token) for each, token in kept["tokens"].items()}})
        for name, kept in kept["users"].items()
    }
    return Records(**kept | {"users": users})


def _write(path: Path, records: Records) -> None:
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(records), file)
    os.replace(fresh, path)
