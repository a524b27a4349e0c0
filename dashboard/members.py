"""What the page of a project's members shows, and its forms. Who may do what is decided in `projects`."""

from typing import Any

from django import forms
from django.conf import settings

from machines.models import Machine
from machines.states import LIVE
from projects import invitations, members
from projects.models import ApiToken, Project, User
from projects.roles import MACHINE_ROLES, RIGHTS, WORDS, Right, Role

MEANINGS = {
    Role.OWNER: "everything, and says who else is in it",
    Role.OPERATOR: "runs the machines, everybody's",
    Role.MEMBER: "spawns machines and runs those",
    Role.VIEWER: "looks on",
    Role.AUDITOR: "looks on, and reads who did what",
}
NO_ROLE = ("", "nothing")


class RoleForm(forms.Form):
    """Somebody, and what they are to be."""

    name = forms.CharField(max_length=200)
    role = forms.ChoiceField(choices=Role.choices)


class MachineRoleForm(forms.Form):
    """What the project's machines are to be."""

    role = forms.ChoiceField(
        choices=[NO_ROLE, *((role.value, role.label) for role in MACHINE_ROLES)], required=False
    )


class InvitationForm(forms.Form):
    """Whom to invite. Addresses and days are checked by `projects.invitations`."""

    role = forms.ChoiceField(choices=Role.choices, initial=Role.MEMBER)
    note = forms.CharField(max_length=invitations.NOTE_MAX, required=False)
    email = forms.EmailField(required=False)
    days = forms.IntegerField(
        initial=invitations.DAYS, min_value=1, max_value=invitations.DAYS_MAX, required=False
    )

    @property
    def asked(self) -> dict[str, Any]:
        """As `invitations.create` takes it."""
        said = {**self.cleaned_data, "role": Role(self.cleaned_data["role"])}
        return {name: value for name, value in said.items() if value is not None}


def view(project: Project, user: User) -> dict[str, Any]:
    """What the page shows, whatever its forms say."""
    found = members.of(project)
    manages = user.has_perm(f"projects.{Right.MANAGE}", project)
    return {
        "project": project,
        "members": found,
        "own": _own(found, user),
        "manages": manages,
        "invitations": invitations.of(project) if manages else [],
        "invitation_form": InvitationForm(),
        "mails": bool(settings.EMAIL_HOST),
        "roles": [(role, MEANINGS[role]) for role in Role],
        "machine_roles": MachineRoleForm.base_fields["role"].choices,  # type: ignore[attr-defined]
        "rights": [(words, [right in RIGHTS[role] for role in Role]) for right, words in WORDS.items()],
    }


def left_behind(project: Project, name: str) -> list[str]:
    """What somebody leaves in the project, in numbers."""
    keys = ApiToken.objects.alive().filter(user__username=name, project=project).count()
    live = Machine.objects.filter(project=project, created_by__username=name, state__in=LIVE).count()
    tokens = f"{keys} API token{'' if keys == 1 else 's'} for this project alone"
    machines = f"{live} machine{'' if live == 1 else 's'} that {name} spawned"
    return [
        f"Pages of it that are open close. {tokens} will be revoked, unless a group still lets {name} in."
        if keys
        else "Pages of it that are open close, unless a group still lets them in.",
        f"{machines} go{'es' if live == 1 else ''} on; others in the project can end "
        f"{'it' if live == 1 else 'them'}."
        if live
        else f"No machine that {name} spawned is under way.",
        "To undo it, an owner lets them in again; tokens that were revoked have to be made anew.",
    ]


def overview(user: User) -> list[dict[str, Any]]:
    """The projects that the user sees, with their members."""
    visible = list(Project.objects.permitted(user, Right.VIEW).order_by("slug"))
    found = members.of_each(visible)
    return [
        {"project": project, "members": found[project.pk], "own": _own(found[project.pk], user)}
        for project in visible
    ]


def _own(found: list[members.Member], user: User) -> members.Member | None:
    """What the user is by themselves, not by a group."""
    return next((one for one in found if one.name == user.username), None)
