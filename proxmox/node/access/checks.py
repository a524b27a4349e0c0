"""Kinds of permission checks, to be put together in the table of `rules`."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from proxmox.node.access.permissions import denied
from proxmox.node.errors import Failure

if TYPE_CHECKING:
    from proxmox.node.host import Host

Given = Mapping[str, Any]  # parameters as they were sent, those in the path among them
Check = Callable[["Host", str, Given], None]  # raises `Failure` (403) for somebody who may not


def world(host: "Host", who: str, given: Given) -> None:
    """Nobody is asked who they are."""


def everybody(host: "Host", who: str, given: Given) -> None:
    """Whoever has logged in: what is shown is filtered, or `conditions` has more to say."""


def need(path: str, *privileges: str) -> Check:
    """All of these privileges."""

    def check(host: "Host", who: str, given: Given) -> None:
        host.permissions.check(who, _filled(path, given), *privileges)

    return check


def need_any(path: str, *privileges: str) -> Check:
    """One of these privileges."""

    def check(host: "Host", who: str, given: Given) -> None:
        host.permissions.check_any(who, _filled(path, given), *privileges)

    return check


def both(*checks: Check) -> Check:
    def check(host: "Host", who: str, given: Given) -> None:
        for each in checks:
            each(host, who, given)

    return check


def either(*checks: Check) -> Check:
    """Proxmox does not say what of several possibilities was missing."""

    def check(host: "Host", who: str, given: Given) -> None:
        if not any(_passes(each, host, who, given) for each in checks):
            raise denied()

    return check


def with_parameter(name: str, inner: Check) -> Check:
    def check(host: "Host", who: str, given: Given) -> None:
        if name not in given:
            raise denied()
        inner(host, who, given)

    return check


def before_9(older: Check, newer: Check) -> Check:
    """What VM.Monitor allowed alone has privileges of its own since 9.0."""

    def check(host: "Host", who: str, given: Given) -> None:
        (older if host.options.release.startswith("8.") else newer)(host, who, given)

    return check


def agent(*privileges: str) -> Check:
    """A guest agent's privilege."""
    newer = need_any("/vms/{vmid}", *privileges, "VM.GuestAgent.Unrestricted")
    return before_9(need("/vms/{vmid}", "VM.Monitor"), newer)


def oneself(host: "Host", who: str, given: Given) -> None:
    if who != given.get("userid"):
        raise denied()


def over_user(*privileges: str) -> Check:
    """One of the privileges over all groups, or over one that the user is in."""

    def check(host: "Host", who: str, given: Given) -> None:
        groups = [f"/access/groups/{group}" for group in _groups(host, given)]
        if not any(
            host.permissions.allows_any(who, path, *privileges) for path in ("/access/groups", *groups)
        ):
            raise denied()

    return check


def _groups(host: "Host", given: Given) -> list[str]:
    user = host.accounts.user_of(str(given.get("userid", "")))
    return user.groups if user else []


def own_realm(host: "Host", who: str, given: Given) -> None:
    realm = str(given.get("userid", "")).rpartition("@")[2]
    host.permissions.check(who, f"/access/realm/{realm}", "Realm.AllocateUser")


def modify_acl(host: "Host", who: str, given: Given) -> None:
    host.permissions.check_modify(who, str(given.get("path", "/")))


def _passes(check: Check, host: "Host", who: str, given: Given) -> bool:
    try:
        check(host, who, given)
    except Failure:
        return False
    return True


def _filled(path: str, given: Given) -> str:
    filled = re.sub(r"{([\w-]+)}", lambda match: str(given.get(match[1], "")), path)
    return "/" + re.sub("/+", "/", filled).strip("/")
