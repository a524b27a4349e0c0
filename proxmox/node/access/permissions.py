"""What somebody may do on a path, from access control lists, roles and pools (pve-access-control: RPCEnvironment.pm).

A list on a deeper path replaces those above it; a token's own lists count only within what its user may; members of
a pool have the roles of /pool/NAME besides.
"""

import re
from collections.abc import Iterator

from proxmox.node.access.accounts import ROOT, Accounts, Roles
from proxmox.node.errors import Failure
from proxmox.node.pools import Pools

NO_ACCESS = "NoAccess"
TOP = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")
Held = dict[str, bool]  # privilege → whether it holds below the path, too

_ID = r"[A-Za-z0-9.\-_]+"
_PATH = re.compile(
    rf"/|/access(/(groups|realm)(/{_ID})?)?|/nodes(/{_ID})?|/pool(/{_ID}){{0,3}}|/storage(/{_ID})?"
    rf"|/sdn(/(controllers|dns|fabrics|ipams)(/{_ID})?|/zones(/{_ID}){{0,2}}(/[1-9][0-9]{{0,3}})?)?"
    rf"|/vms(/[1-9][0-9]{{2,}})?|/mapping(/{_ID}){{0,2}}"
)


def is_path(path: str) -> bool:
    """Whether an access control list may be set there."""
    return _PATH.fullmatch(path) is not None


def denied(what: str = "") -> Failure:
    """The refusal, to be raised."""
    return Failure("Permission check failed" + (f" ({what})" if what else ""), status=403)


class Permissions:
    """Answers for everybody with an account. `who` is `user@realm` or `user@realm!token`."""

    def __init__(self, accounts: Accounts, pools: Pools) -> None:
        self._accounts = accounts
        self._pools = pools

    def held(self, who: str, path: str) -> Held:
        """The privileges that somebody has on a path."""
        if who == ROOT:
            return dict.fromkeys(self._accounts.privileges, True)
        if "!" not in who:
            return self._of_lists(who, path)
        token = self._accounts.token(who)
        if token is None:
            return {}
        of_user = self.held(who.partition("!")[0], path)
        if not token.privsep:
            return of_user
        of_token = self._of_lists(who, path)
        return {name: of_token[name] and of_user[name] for name in of_token.keys() & of_user.keys()}

    def allows(self, who: str, path: str, *privileges: str) -> bool:
        """Whether somebody has every one of these privileges on a path."""
        return self.held(who, path).keys() >= set(privileges)

    def allows_any(self, who: str, path: str, *privileges: str) -> bool:
        """Whether somebody has at least one of these privileges on a path."""
        return not self.held(who, path).keys().isdisjoint(privileges)

    def check(self, who: str, path: str, *privileges: str) -> None:
        """Raises `Failure` (403), naming the first privilege that is missing."""
        held = self.held(who, path)
        for privilege in privileges:
            if privilege not in held:
                raise denied(f"{path}, {privilege}")

    def check_any(self, who: str, path: str, *privileges: str) -> None:
        """Raises `Failure` (403) when none of the privileges is there."""
        if not self.allows_any(who, path, *privileges):
            raise denied(f"{path}, {'|'.join(privileges)}")

    def check_modify(self, who: str, path: str) -> None:
        """Raises `Failure` (403) for somebody who may not change the access control list of a path."""
        self.check_any(who, path, *_modifying(path))

    def may_modify(self, who: str, path: str) -> bool:
        return self.allows_any(who, path, *_modifying(path))

    def tree(self, who: str) -> dict[str, Held]:
        """All that somebody may do, by path; paths without any privilege are left out."""
        paths = dict.fromkeys((*TOP, *self._accounts.now.acl))
        paths |= {f"/vms/{vmid}": None for pool in self._pools.names() for vmid in self._pools.members(pool)}
        return {path: held for path in paths if (held := self.held(who, path))}

    # --- details ---

    def _of_lists(self, who: str, path: str) -> Held:
        roles, known = self._roles(who, path), self._accounts.roles()
        self._add_pool(roles, who, path)
        held: Held = {}
        for role, propagated in roles.items():
            for privilege in known.get(role, ()):
                held[privilege] = held.get(privilege, False) or propagated
        return held

    def _roles(self, who: str, path: str) -> Roles:
        """The roles that lists on the way down to a path give; the last list that says anything counts."""
        roles: Roles = {}
        for step in _way(path):
            if entries := self._accounts.now.acl.get(step):
                roles = self._given(who, entries, final=step == path) or roles
        return {NO_ACCESS: roles[NO_ACCESS]} if NO_ACCESS in roles else roles

    def _given(self, who: str, entries: dict[str, Roles], *, final: bool) -> Roles:
        """What one list gives: that of the token or user itself comes before those of groups."""
        own = entries.get(f"{'token' if '!' in who else 'user'}:{who}", {})
        if counted := {role: below for role, below in own.items() if final or below}:
            return counted
        user = self._accounts.user_of(who) if "!" not in who else None
        groups = [entries.get(f"group:{group}", {}) for group in (user.groups if user else ())]
        return {role: below for each in groups for role, below in each.items() if final or below}

    def _add_pool(self, roles: Roles, who: str, path: str) -> None:
        pool = self._pools.of(int(path[5:])) if re.fullmatch(r"/vms/\d+", path) else ""
        if not pool or NO_ACCESS in roles:
            return
        inherited = self._roles(who, f"/pool/{pool}")
        if NO_ACCESS in inherited:
            roles.clear()
        for role in inherited:
            roles.setdefault(role, False)


def _modifying(path: str) -> tuple[str, ...]:
    kinds = {"storage": "Datastore.Allocate", "vms": "VM.Allocate", "pool": "Pool.Allocate"}
    kind, _, name = path[1:].partition("/")
    return ("Permissions.Modify", *((kinds[kind],) if name and kind in kinds else ()))


def _way(path: str) -> Iterator[str]:
    """`/vms/100` is reached over `/` and `/vms`."""
    yield "/"
    parts = path.strip("/").split("/") if path != "/" else []
    for length in range(1, len(parts) + 1):
        yield "/" + "/".join(parts[:length])
