"""What the page of a project's members shows, and its forms. Who may do what is decided in `projects`."""

from typing import Any

from django import forms
from django.conf import settings

from projects import invitations, members
from projects.models import Project, User
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
