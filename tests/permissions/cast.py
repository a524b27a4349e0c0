"""Every kind of principal, and what each may do in the project `demo`."""

from dataclasses import dataclass, field, replace

from django.contrib.auth.models import Group

from machines import tokens
from machines.models import Machine
from projects import actions as projects
from projects.models import ApiToken, Project, User
from projects.roles import ADMINISTER, RIGHTS, Right, Role

EVERYTHING = frozenset(Right)
ALICE = "alice"  # what is hers, and administrators see


@dataclass(frozen=True)
class Principal:
    """Somebody who calls: with a key to the API, in a browser (`user`), or neither."""

    name: str
    rights: frozenset[str] = frozenset()
    administers: bool = False
    key: str = ""
    user: User | None = field(default=None, compare=False)
    alive: bool = True

    def dead(self) -> "Principal":
        return replace(self, alive=False)

    def outside(self) -> "Principal":
        """What it may do elsewhere is not asked here."""
        return replace(self, rights=frozenset())

    def expected(self, need: str, ok: int, *, inside: bool = True) -> int:
        """The answer that a route with this need has for them; `ok` for those who may.

        `inside`: it names the project, so outsiders are told that there is none.
        """
        if need == "everybody":
            return ok
        if not self.alive:
            return 401
        if need == "anyone":
            return ok
        if need == ALICE:
            return ok if self.name in {"alice", "root"} else 404
        if need == ADMINISTER and not inside:
            return ok if self.administers else 403
        if Right.VIEW not in self.rights:
            return 404
        if need == ADMINISTER:
            return ok if self.administers else 403
        return ok if need in self.rights else 403


def person(name: str, project: Project, role: Role | None) -> Principal:
    """Somebody with that role, or none."""
    user = User.objects.get_or_create(username=name)[0]
    if role:
        projects.admit(project, user, role, by=user)
    return _with_key(name, user, RIGHTS[role] if role else frozenset())


def system(name: str, group: str, rights: frozenset[str], kind: str = User.Kind.PERSON) -> Principal:
    """Somebody in one of the groups that hold rights on every project."""
    user = User.objects.create(username=name, kind=kind)
    user.groups.add(Group.objects.get(name=group))
    return _with_key(name, user, rights)


def admin(name: str) -> Principal:
    user = User.objects.create_superuser(name)
    return _with_key(name, user, EVERYTHING, administers=True)


def bounded(name: str, user: User, rights: frozenset[str], **bounds: object) -> Principal:
    """A token of somebody who may do more."""
    _, key = ApiToken.mint(user, name, **bounds)  # type: ignore[arg-type]
    return Principal(name, rights, key=key)


def machine(name: str, of: Machine, role: Role | None) -> Principal:
    """A machine with its own key, in a project that lets its machines be `role`."""
    projects.set_machine_role(of.project, role, by=User.objects.get(username="alice"))
    return Principal(name, RIGHTS[role] if role else frozenset(), key=tokens.mint(of))


def _with_key(name: str, user: User, rights: frozenset[str], *, administers: bool = False) -> Principal:
    _, key = ApiToken.mint(user, f"{name}'s")
    return Principal(name, rights, administers, key, user)
