"""Everybody who may call the API, with a token of each: the roles of a project, and those without one."""

from django.contrib.auth.models import Group

from machines import tokens
from machines.models import Machine
from projects import actions as projects
from projects.models import ApiToken, Project, User
from projects.roles import Right, Role


def keys(project: Project, owner: User, machine: Machine) -> dict[str, str]:
    """By name, what each shows as its bearer token."""
    users = {role.value: User.objects.create_user(f"the-{role.value}") for role in Role if role != Role.OWNER}
    for name, user in users.items():
        projects.admit(project, user, Role(name), by=owner)
    users |= {
        "owner": owner,
        "admin": User.objects.create_superuser("the-admin"),
        "outsider": User.objects.create_user("the-outsider"),
        "auditor of all": User.objects.create_user("the-auditor-of-all"),
    }
    Group.objects.get_or_create(name="Auditors")[0].user_set.add(users["auditor of all"])
    shown = {name: ApiToken.mint(user, "for the tests")[1] for name, user in users.items()}
    shown["bounded token"] = ApiToken.mint(owner, "bounded", scopes=[Right.VIEW], project=project)[1]
    shown["machine"] = tokens.mint(machine)
    shown["nobody"] = "av_guessed"
    return shown
