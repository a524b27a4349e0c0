"""A machine calling the API: `Authorization: Bearer avm_…`, the token that it shows the gateway."""

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from machines import tokens
from machines.models import Machine
from machines.principals import principal_of
from projects.authentication import MACHINE
from projects.bounds import Bounds
from projects.models import User
from projects.roles import Right


class MachineAuthentication(BaseAuthentication):
    """A machine may do in its own project what the project lets its machines do, and nothing elsewhere."""

    def authenticate(self, request: Request) -> tuple[User, Machine] | None:
        scheme, _, key = get_authorization_header(request).decode("latin-1").partition(" ")
        return self.by_key(key.strip()) if scheme.lower() == "bearer" and key.startswith(MACHINE) else None

    def by_key(self, key: str) -> tuple[User, Machine]:
        """The machine's user, bound to its project. Raises `AuthenticationFailed`."""
        machine = tokens.authenticate(key)
        if machine is None:
            raise AuthenticationFailed("This machine's token is unknown or has been revoked.")
        user = principal_of(machine)
        user.bounds = Bounds(frozenset(Right), machine.project_id)
        return user, machine

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
