"""Invitations into a project, by a link that works once. Links are built by the interfaces."""

import logging
import secrets
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from events import actions as events
from projects import actions, members
from projects.errors import Conflict, Invalid, NotThere
from projects.models import Invitation, Project, User
from projects.roles import RIGHTS, Right, Role

logger = logging.getLogger(__name__)

DAYS = 7
DAYS_MAX = 30
NOTE_MAX = 200
WHY_NOT = {
    "accepted": "This invitation has been accepted already. Ask for another one.",
    "revoked": "This invitation was taken back. Ask whoever sent it.",
    "expired": "This invitation has expired. Ask for another one.",
}
_LETTER = """\
{by} invites you to the project {project} on autovibe, as its {role}.

Follow this link to join. It works once, and until {until:%d %B %Y, %H:%M} UTC:

{link}
"""


class Gone(Conflict):
    """An invitation that cannot be accepted any more."""

    type = "invitation-gone"


@transaction.atomic
def create(
    project: Project, role: Role, *, email: str = "", note: str = "", days: int = DAYS, by: User
) -> tuple[Invitation, str]:
    """A new invitation, and the code of its link, which cannot be had again.

    Raises `Invalid`, and `Forbidden` for a role with rights that `by` does not hold.
    """
    if not 1 <= days <= DAYS_MAX:
        raise Invalid(f"An invitation is good for 1 to {DAYS_MAX} days.")
    if len(note) > NOTE_MAX:
        raise Invalid(f"A note has at most {NOTE_MAX} characters.")
    _check_address(email)
    members.require_all(by, RIGHTS[role], project)
    code = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        project=project,
        role=role,
        email=email,
        note=note,
        digest=Invitation.digest_of(code),
        invited_by=by,
        expires_at=timezone.now() + timedelta(days=days),
    )
    _record("invitation.created", invitation, by=by, email=email, note=note, expires_at=invitation.expires_at)
    return invitation, code


def send(invitation: Invitation, link: str) -> bool:
    """E-mail the link to whom it is for, once the caller's transaction is through; False where no e-mail is set up."""
    if not (invitation.email and settings.EMAIL_HOST):
        return False
    letter = _LETTER.format(
        by=invitation.invited_by.username,
        project=invitation.project.slug,
        role=invitation.role,
        until=invitation.expires_at,
        link=link,
    )
    subject = f"autovibe: an invitation to {invitation.project.slug}"

    def post() -> None:
        try:
            send_mail(subject, letter, None, [invitation.email])
        except OSError as error:  # smtplib's errors are OSErrors
            logger.warning("Invitation %s could not be e-mailed: %s", invitation.pk, error)

    transaction.on_commit(post)
    return True


def of(project: Project) -> QuerySet[Invitation]:
    """Those that can still be accepted, the newest first."""
    return project.invitations.pending().select_related("invited_by")


@transaction.atomic
def revoke(invitation: Invitation, *, by: User) -> None:
    """Take it back. Raises `Conflict` for one that was accepted; nothing happens to one that is over anyhow."""
    held = Invitation.objects.select_for_update(of=("self",)).get(pk=invitation.pk)
    if held.state == "accepted":
        raise Conflict("It has been accepted already: remove the member instead.")
    if held.revoked_at is None:
        Invitation.objects.filter(pk=held.pk).update(revoked_at=timezone.now())
        _record("invitation.revoked", held, by=by)


def find(code: str) -> Invitation:
    """The invitation of that code. Raises `NotThere`, and `Gone` for one that cannot be accepted, saying why."""
    found = Invitation.objects.select_related("project", "invited_by")
    invitation = found.filter(digest=Invitation.digest_of(code)).first()
    if invitation is None:
        raise NotThere("There is no such invitation. Was the link copied whole?")
    check(invitation)
    return invitation


@transaction.atomic
def accept(invitation: Invitation, user: User) -> Project:
    """`user`, who has shown its code, joins. Raises `Gone`, and `Conflict` where they would lose rights by it."""
    held = Invitation.objects.select_for_update(of=("self",)).select_related("project", "invited_by")
    invitation = held.get(pk=invitation.pk)
    check(invitation)
    project, role = invitation.project, Role(invitation.role)
    _check_gain(actions.rights_of(user, project), RIGHTS[role], project)
    Invitation.objects.filter(pk=invitation.pk).update(accepted_at=timezone.now(), accepted_by=user)
    _record("invitation.accepted", invitation, by=user, invited_by=invitation.invited_by.username)
    actions.admit(project, user, role, by=user)
    return project


@transaction.atomic
def join(invitation: Invitation, user: User) -> Project:
    """As `accept`, for somebody whose account is made by it: `user` is not saved yet, and its password is set.

    The invitation's e-mail address is not taken over: nobody has shown that it is theirs.
    """
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        raise Conflict("That name has just been taken by somebody else.") from None
    events.record("user.joined", subject=user.subject, by=user.username)
    return accept(invitation, user)


def check(invitation: Invitation) -> None:
    """Raises `Gone` for one that cannot be accepted any more.

    It is worth what its sender's word is worth now: somebody who was removed has left no back door.
    """
    if reason := WHY_NOT.get(invitation.state):
        raise Gone(reason)
    held = Project.objects.filter(pk=invitation.project_id)
    rights = {Right.MANAGE, *RIGHTS[Role(invitation.role)]}
    if not all(held.permitted(invitation.invited_by, right).exists() for right in rights):
        raise Gone(
            "Whoever sent this invitation may not invite anybody any more. Ask an owner of the project."
        )


def _check_gain(held: frozenset[str], offered: frozenset[Right], project: Project) -> None:
    if held >= offered:
        raise Conflict(f"You can do all that in {project.slug} already. Leave the link to whom it is for.")
    if held - offered:
        raise Conflict(f"You would lose rights in {project.slug} by it. Ask an owner to change your role.")


def _check_address(email: str) -> None:
    try:
        if email:
            validate_email(email)
    except ValidationError:
        raise Invalid(f"{email!r} is no e-mail address.") from None


def _record(kind: str, invitation: Invitation, *, by: User, **more: object) -> None:
    events.record(
        kind,
        subject=invitation.project.subject,
        project_id=invitation.project_id,
        by=by.username,
        invitation=str(invitation.pk),
        role=invitation.role,
        **more,
    )
