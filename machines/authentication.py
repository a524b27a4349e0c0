"""A machine calling the API: `Authorization: Bearer avm_…`, the token that it shows the gateway."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from events import context
from machines import tokens
from machines.models import Machine
from machines.principals import principal_of
from projects.authentication import MACHINE, bearer
from projects.bounds import Bounds
from projects.models import User
from projects.roles import Right

NOTHING = (
    "This project lets its machines do nothing by the API. An owner changes that with: "
    "bin/autovibe member machines {} viewer"
)


class MachineAuthentication(BaseAuthentication):
    """A machine may do in its own project what the project lets its machines do, and nothing elsewhere."""

    def authenticate(self, request: Request) -> tuple[User, Machine] | None:
        key = bearer(request)
        return self.by_key(key) if key and key.startswith(MACHINE) else None

    def by_key(self, key: str) -> tuple[User, Machine]:
        """The machine's user, bound to its project. Raises `AuthenticationFailed`."""
        machine = tokens.authenticate(key)
        if machine is None:
            raise AuthenticationFailed("This machine's token is unknown or has been revoked.")
        if not machine.project.machine_role:
            raise AuthenticationFailed(NOTHING.format(machine.project.slug))
        user = principal_of(machine)
        user.bounds = Bounds(frozenset(Right), machine.project_id)
        context.identify(f"{machine.handle} ({tokens.fingerprint(key)})")
        return user, machine

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
