"""What autovibe is set to: the half of a check that is not asked of Proxmox."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings that have to fit the cluster. `known` are the VMIDs that autovibe itself has given away."""

    urls: tuple[str, ...]
    token: str = field(repr=False)  # user@realm!name=secret
    pool: str
    template: int
    vmids: range
    gateway_url: str
    verify_tls: bool | str = True
    fingerprint: str = ""
    backup_storage: str = ""  # of checkpoints that cannot be branched otherwise
    known: frozenset[int] = frozenset()

    @property
    def token_id(self) -> str:
        """`user@realm!name`: what may be shown of the token."""
        return self.token.partition("=")[0]

    @property
    def user(self) -> str:
        return self.token_id.partition("!")[0]

    @property
    def token_name(self) -> str:
        return self.token_id.partition("!")[2]
