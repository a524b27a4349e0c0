"""The table of the API: which function answers which method and path, and what parameters it takes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxmox.node.schema import Parameter, Schema

if TYPE_CHECKING:
    from proxmox.node.host import Host

VMID = Parameter("integer", optional=False, format="pve-vmid")
SNAPNAME = Parameter(format="pve-configid", max_length=40)
FLAG = Parameter("boolean")
TEXT = Parameter()
COUNT = Parameter("integer", minimum=0)

_IN_PATH: dict[str, Parameter] = {
    "node": Parameter(optional=False),
    "vmid": VMID,
    "snapname": Parameter(optional=False, format="pve-configid", max_length=40),
    "storage": Parameter(optional=False, format="pve-storage-id"),
    "poolid": Parameter(optional=False, format="pve-poolid"),
    "upid": Parameter(optional=False),
    "volume": Parameter(optional=False),
    "pos": Parameter("integer", optional=False, minimum=0),
    "name": Parameter(optional=False, pattern=r"[A-Za-z][A-Za-z0-9\-_]+", max_length=64),
    "cidr": Parameter(optional=False),
    "userid": Parameter(optional=False, max_length=64),
    "tokenid": Parameter(optional=False, pattern=r"[A-Za-z][A-Za-z0-9.\-_]+"),
    "groupid": Parameter(optional=False),
    "roleid": Parameter(optional=False),
    "realm": Parameter(optional=False, max_length=32),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request whose parameters have been checked."""

    parameters: dict[str, Any]
    user: str  # user@realm!token, as it stands in a UPID

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A parameter, or `default` when it was not sent."""
        return self.parameters.get(name, default)

    @property
    def vmid(self) -> int:
        """The VMID in the path or body."""
        return int(self.parameters["vmid"])

    def sent(self, *without: str) -> dict[str, Any]:
        """What was sent apart from node, VMID and the names in `without`."""
        return {
            name: value for name, value in self.parameters.items() if name not in {"node", "vmid", *without}
        }


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that carries `total` beside `data`."""

    data: list[Any]
    total: int


Handler = Callable[["Host", Call], Any]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str  # with {…} for what differs from call to call
    pattern: re.Pattern[str]
    schema: Schema
    handler: Handler


ROUTES: list[Route] = []


def route(method: str, path: str, /, **parameters: Parameter) -> Callable[[Handler], Handler]:
    """Register a handler. Parameters with hyphens are passed as a mapping through `**`."""
    names = re.findall(r"{(\w+)}", path)
    schema = {name: _IN_PATH[name] for name in names} | parameters
    pattern = re.compile(re.sub(r"{(\w+)}", _group, path))

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(method, path, pattern, schema, handler))
        return handler

    return register


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request, and the values in its path."""
    for candidate in ROUTES:
        if candidate.method == method and (match := candidate.pattern.fullmatch(path)):
            return candidate, match.groupdict()
    return None


def _group(match: re.Match[str]) -> str:
    # A volume's name has slashes in it, and so has a network.
    return f"(?P<{match[1]}>.+)" if match[1] in {"volume", "cidr"} else f"(?P<{match[1]}>[^/]+)"
