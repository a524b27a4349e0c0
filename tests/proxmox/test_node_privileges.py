"""The table of privileges says what Proxmox's API schemas say: for every route, with every set of privileges."""

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxmox.node import api, routes
from proxmox.node.access.accounts import Accounts
from proxmox.node.access.permissions import Permissions
from proxmox.node.access.rules import RULES
from proxmox.node.errors import Failure
from proxmox.node.pools import Pools

RELEASES = ("8.4", "9.2")
WHO = "somebody@pve"
GIVEN = {
    "node": "n",
    "vmid": "100",
    "newid": "101",
    "pool": "p",
    "poolid": "p",
    "storage": "s",
    "userid": "other@pve",
    "path": "/vms/100",
}
Privilege = tuple[str, str]  # path and name


@dataclass
class Options:
    release: str


class Host:
    """Of a host, what the checks look at: accounts and the permissions that they give."""

    def __init__(self, directory: Path, release: str) -> None:
        self.options = Options(release)
        self.accounts = Accounts(directory / "accounts.json", release, "own@pve!token=x", "")
        self.permissions = Permissions(self.accounts, Pools(directory / "pools.json"))

    def grant(self, held: tuple[Privilege, ...]) -> None:
        """Let somebody have exactly these privileges, each on its own path."""
        records = self.accounts.now
        records.roles = {f"Only{privilege}": [privilege] for _, privilege in held}
        records.acl = {}
        for path, privilege in held:
            records.acl.setdefault(path, {}).setdefault(f"user:{WHO}", {})[f"Only{privilege}"] = False


def recorded(release: str) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = json.loads(
        (Path(__file__).with_name("privileges") / f"{release}.json").read_text()
    )
    return rows


def paths(check: list[Any]) -> set[Privilege]:
    """Every privilege that a check of the schema looks at."""
    kind, *rest = check
    if kind in {"and", "or"}:
        return set().union(*(paths(each) for each in rest))
    if kind == "perm":
        return {(filled(rest[0]), privilege) for privilege in rest[1]}
    if kind == "userid-group":
        return {("/access/groups", privilege) for privilege in rest[0]}
    if kind == "perm-modify":
        return {("/vms/100", "Permissions.Modify"), ("/vms/100", "VM.Allocate")}
    return {("/access/realm/pve", rest[0])} if rest[0] != "self" else set()


def permitted(check: list[Any], held: set[Privilege]) -> bool:
    """What the schema's check says to somebody with these privileges."""
    kind, *rest = check
    if kind in {"and", "or"}:
        return (all if kind == "and" else any)(permitted(each, held) for each in rest)
    if kind == "perm" and "any" not in rest:
        return paths(check) <= held
    return bool(paths(check) & held)


def filled(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda match: GIVEN[match[1]], path)


def passes(host: Host, name: str) -> bool:
    try:
        RULES[name](host, WHO, GIVEN)  # type: ignore[arg-type]
    except Failure:
        return False
    return True


class TestEveryRoute:
    def test_it_has_a_row(self) -> None:
        api.load()
        assert {f"{route.method} {route.path}" for route in routes.ROUTES} - RULES.keys() == set()

    @pytest.mark.parametrize("release", RELEASES)
    def test_it_needs_what_the_schema_says(self, tmp_path: Path, release: str) -> None:
        host, wrong, tried = Host(tmp_path, release), [], 0
        for name, permissions in recorded(release).items():
            check = permissions.get("check")
            if check is None or permissions.get("user") == "all":
                host.grant(())
                wrong += [name] if passes(host, name) != (permissions.get("user") in {"all", "world"}) else []
                continue
            looked_at = sorted(paths(check))
            for count in range(len(looked_at) + 1):
                for held in itertools.combinations(looked_at, count):
                    host.grant(held)
                    tried += 1
                    if passes(host, name) != permitted(check, set(held)):
                        wrong.append(f"{name} with {held}")
        assert wrong == []
        assert tried > 500
