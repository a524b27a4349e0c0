"""Who is asking: a token, or a ticket in the browser's cookie. Failures are bare 401s with Proxmox's reasons."""

from collections.abc import Mapping
from urllib.parse import unquote

from proxmox.node.access.accounts import Accounts
from proxmox.node.access.tickets import Tickets
from proxmox.node.errors import Failure

COOKIE = "PVEAuthCookie"
_SCHEME = "PVEAPIToken="


class Authentication:
    """Reads credentials off requests."""

    def __init__(self, accounts: Accounts, tickets: Tickets) -> None:
        self._accounts = accounts
        self._tickets = tickets

    def who(self, method: str, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str:
        """`user@realm` of a ticket, `user@realm!name` of a token. Raises `Failure` (401)."""
        if header := headers.get("Authorization", ""):
            return self._token(header)
        if cookie := cookies.get(COOKIE, ""):
            return self._ticket(method, unquote(cookie), headers.get("CSRFPreventionToken", ""))
        raise _unknown("No ticket")

    def _token(self, header: str) -> str:
        credential = header.removeprefix(_SCHEME)
        if not header.startswith(_SCHEME) or not self._accounts.token_valid(credential):
            raise _unknown("Authentication failed!")
        return credential.rpartition("=")[0]

    def _ticket(self, method: str, ticket: str, csrf_token: str) -> str:
        """A cookie is sent by a browser on anybody's behalf: what changes something needs the second token, too."""
        user = self._tickets.user(ticket)
        if not user or not self._accounts.usable(user):
            raise _unknown("Authentication failed!")
        if method != "GET" and not self._tickets.csrf_valid(user, csrf_token):
            raise _unknown("Permission denied - invalid csrf token")
        return user


def _unknown(reason: str) -> Failure:
    return Failure(reason, status=401, bare=True)
