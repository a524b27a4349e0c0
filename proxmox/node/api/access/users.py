"""Users and their API tokens."""

import uuid
from typing import Any

from proxmox.node.access.accounts import Records, Token, User, digest, forget, hashed, token_of, user
from proxmox.node.api.access.login import USERID
from proxmox.node.errors import BadParameters, Failure
from proxmox.node.host import Host
from proxmox.node.routes import COUNT, FLAG, TEXT, Call, route
from proxmox.node.schema import Parameter

_DETAILS = ("firstname", "lastname", "email", "comment", "keys")
_USER = {
    "enable": FLAG,
    "expire": COUNT,
    "groups": TEXT,
    **dict.fromkeys(("firstname", "lastname"), Parameter(max_length=1024)),
    "email": Parameter(max_length=254),
    "comment": Parameter(max_length=2048),
    "keys": Parameter(pattern=r"[0-9a-zA-Z!=]{0,4096}"),
}
_TOKEN = {"comment": TEXT, "expire": COUNT, "privsep": FLAG}
_TOKEN_PATH = "/access/users/{userid}/token/{tokenid}"


@route("GET", "/access/users", enabled=FLAG, full=FLAG)
def users(host: Host, call: Call) -> list[dict[str, Any]]:
    """Whoever may not manage users sees themselves, and the members of the groups they may manage."""
    wanted = call.get("enabled")
    return [
        {"userid": userid} | _described(userid, account, full=bool(call.get("full")))
        for userid, account in sorted(host.accounts.now.users.items())
        if wanted in {None, account.enable} and _may_see(host, call.user, userid, account)
    ]


@route("POST", "/access/users", userid=USERID, password=Parameter(max_length=64), **_USER)
def add_user(host: Host, call: Call) -> None:
    userid = call["userid"]
    if userid.rpartition("@")[2] not in {"pam", "pve"}:
        raise BadParameters({"userid": f"realm '{userid.rpartition('@')[2]}' does not exist"})
    with host.accounts.edit("create user") as records:
        if userid in records.users:
            raise Failure(f"user '{userid}' already exists")
        added = records.users[userid] = User()
        _change(records, added, call)
        if "password" in call.parameters:
            added.password = hashed(call["password"])


@route("GET", "/access/users/{userid}")
def read_user(host: Host, call: Call) -> dict[str, Any]:
    account = user(host.accounts.now, call["userid"])
    tokens = {name: _token(token) for name, token in account.tokens.items()}
    return _described(call["userid"], account) | {"groups": account.groups, "tokens": tokens}


@route("PUT", "/access/users/{userid}", append=Parameter("boolean", requires="groups"), **_USER)
def change_user(host: Host, call: Call) -> None:
    with host.accounts.edit("update user") as records:
        account = user(records, call["userid"])
        if "groups" in call.parameters and not call.get("append"):
            account.groups = []
        _change(records, account, call)


@route("DELETE", "/access/users/{userid}")
def remove_user(host: Host, call: Call) -> None:
    userid = call["userid"]
    with host.accounts.edit("delete user") as records:
        for tokenid in user(records, userid).tokens:
            forget(records, "token", f"{userid}!{tokenid}")
        del records.users[userid]
        forget(records, "user", userid)


def _change(records: Records, account: User, call: Call) -> None:
    account.enable = call.get("enable", account.enable)
    account.expire = call.get("expire", account.expire)
    account.details |= {name: call[name] for name in _DETAILS if name in call.parameters}
    for group in names(call.get("groups", "")):
        if group not in records.groups:
            raise Failure(f"no such group '{group}'")
        account.groups = sorted({*account.groups, group})


def _described(userid: str, account: User, *, full: bool = False) -> dict[str, Any]:
    row: dict[str, Any] = {"enable": int(account.enable), "expire": account.expire} | account.details
    row |= {"realm-type": userid.rpartition("@")[2]}
    if full:
        tokens = [{"tokenid": name} | _token(token) for name, token in account.tokens.items()]
        row |= {"groups": ",".join(account.groups), "tokens": tokens}
    return row


def _may_see(host: Host, who: str, userid: str, account: User) -> bool:
    paths = ["/access/groups", *(f"/access/groups/{group}" for group in account.groups)]
    manages = (host.permissions.allows_any(who, path, "User.Modify", "Sys.Audit") for path in paths)
    return who == userid or any(manages)


def names(listed: str) -> list[str]:
    """The members of a list with commas, semicolons or spaces."""
    return [name for name in listed.replace(";", ",").replace(" ", ",").split(",") if name]


# --- tokens ---


@route("GET", "/access/users/{userid}/token")
def tokens(host: Host, call: Call) -> list[dict[str, Any]]:
    kept = user(host.accounts.now, call["userid"]).tokens
    return [{"tokenid": name} | _token(token) for name, token in kept.items()]


@route("GET", _TOKEN_PATH)
def read_token(host: Host, call: Call) -> dict[str, Any]:
    return _token(token_of(host.accounts.now, call["userid"], call["tokenid"]))


@route("POST", _TOKEN_PATH, **_TOKEN)
def add_token(host: Host, call: Call) -> dict[str, Any]:
    """The secret is in this answer and nowhere else."""
    userid, tokenid, secret = call["userid"], call["tokenid"], str(uuid.uuid4())
    if tokenid in user(host.accounts.now, userid).tokens:
        raise BadParameters({"tokenid": "Token already exists."})
    token = Token(digest(secret), privsep=call.get("privsep", True), expire=call.get("expire", 0))
    token.comment = call.get("comment", "")
    with host.accounts.edit("generating token") as records:
        user(records, userid).tokens[tokenid] = token
    # As it was sent, the answer comes back: a number as text.
    info = {name: str(int(call.get(name, 1))) for name in ("privsep", "expire") if name in call.parameters}
    info |= {"comment": token.comment} if token.comment else {}
    return {"full-tokenid": f"{userid}!{tokenid}", "value": secret, "info": {"privsep": 1} | info}


@route("PUT", _TOKEN_PATH, regenerate=FLAG, delete=TEXT, **_TOKEN)
def change_token(host: Host, call: Call) -> dict[str, Any]:
    userid, tokenid, secret = call["userid"], call["tokenid"], str(uuid.uuid4())
    with host.accounts.edit("updating token info") as records:
        token = token_of(records, userid, tokenid)
        for name in names(call.get("delete", "")):
            if name != "comment":
                raise BadParameters({"delete": f"unknown option '{name}'"})
            token.comment = ""
        for name in _TOKEN:
            setattr(token, name, call.get(name, getattr(token, name)))
        if call.get("regenerate"):
            token.secret = digest(secret)
    regenerated = {"value": secret, "full-tokenid": f"{userid}!{tokenid}"} if call.get("regenerate") else {}
    return _token(token) | regenerated


@route("DELETE", _TOKEN_PATH)
def remove_token(host: Host, call: Call) -> None:
    userid, tokenid = call["userid"], call["tokenid"]
    token_of(host.accounts.now, userid, tokenid)
    with host.accounts.edit("deleting token") as records:
        token_of(records, userid, tokenid)
        del records.users[userid].tokens[tokenid]
        forget(records, "token", f"{userid}!{tokenid}")


def _token(token: Token) -> dict[str, Any]:
    row: dict[str, Any] = {"privsep": int(token.privsep), "expire": token.expire}
    return row | ({"comment": token.comment} if token.comment else {})
