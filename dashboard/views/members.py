"""The members of a project: who they are, letting in, changing roles, inviting, removing."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dashboard import members as page_of
from dashboard.pages import PageRequest, page, show
from projects import actions as projects
from projects import invitations, members
from projects.errors import NotThere, Refusal
from projects.models import Project
from projects.permissions import require
from projects.roles import Right, Role

PAGE = "dashboard/members.html"


@require_safe
@page
def index(request: PageRequest) -> HttpResponse:
    """The projects that one is in, and with whom."""
    return show(request, "dashboard/people.html", "people", {"rows": page_of.overview(request.user)})


@require_safe
@page
def detail(request: PageRequest, slug: str) -> HttpResponse:
    return _page(request, projects.find(slug, user=request.user))


@require_POST
@page
def change(request: PageRequest, slug: str) -> HttpResponse:
    """Let somebody in, or give a member another role."""
    found = _managed(request, slug)
    form = page_of.RoleForm(request.POST)
    if not form.is_valid():
        return _page(request, found, {"role_form": form}, status=422)
    name, role = form.cleaned_data["name"], Role(form.cleaned_data["role"])
    try:
        members.set_role(found, name, role, by=request.user)
    except Refusal as refusal:
        return _page(request, found, {"role_form": form, "refusal": refusal}, status=refusal.status)
    messages.success(request, f"{name} is {role} of {slug} now.")
    return redirect("dashboard:members", slug)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def remove(request: PageRequest, slug: str) -> HttpResponse:
    """GET says what follows, POST does it. `name` is who goes; everybody may go themselves."""
    found = projects.find(slug, user=request.user)
    name = request.POST.get("name") or request.GET.get("name", "")
    leaving = name == request.user.username
    if not leaving:
        require(request.user, Right.MANAGE, found)
    if request.method != "POST":
        context = {
            "project": found,
            "member": members.find(found, name),
            "leaving": leaving,
            "sentences": page_of.left_behind(found, name),
        }
        return show(request, "dashboard/member_remove.html", "card", context)
    try:
        members.remove(found, name, by=request.user)
    except Refusal as refusal:
        messages.error(request, str(refusal))
        return redirect("dashboard:members", slug)
    messages.success(request, f"{'You are' if leaving else f'{name} is'} no member of {slug} any more.")
    return redirect(*(("dashboard:people",) if leaving else ("dashboard:members", slug)))


@require_POST
@page
def machines(request: PageRequest, slug: str) -> HttpResponse:
    """What the project's own machines may do in it."""
    found = _managed(request, slug)
    form = page_of.MachineRoleForm(request.POST)
    if not form.is_valid():
        return _page(
            request, found, {"refusal": "Machines can be members or viewers, or nothing."}, status=422
        )
    role = form.cleaned_data["role"]
    try:
        members.set_machine_role(found, Role(role) if role else None, by=request.user)
    except Refusal as refusal:
        return _page(request, found, {"refusal": refusal}, status=refusal.status)
    may = f"are {role}s of it" if role else "may do nothing in it"
    messages.success(request, f"Machines of {slug} {may} now.")
    return redirect("dashboard:members", slug)


@require_POST
@never_cache
@page
def invite(request: PageRequest, slug: str) -> HttpResponse:
    """Make a link. This answer is the only one that shows it, so nothing is redirected."""
    found = _managed(request, slug)
    form = page_of.InvitationForm(request.POST)
    if not form.is_valid():
        return _page(request, found, {"invitation_form": form}, status=422)
    try:
        made, code = invitations.create(found, **form.asked, by=request.user)
    except Refusal as refusal:
        return _page(request, found, {"invitation_form": form, "refusal": refusal}, status=refusal.status)
    link = request.build_absolute_uri(reverse("dashboard:invitation", args=[code]))
    return _page(request, found, {"made": made, "link": link, "emailed": invitations.send(made, link)})


@require_POST
@page
def uninvite(request: PageRequest, slug: str, number: UUID) -> HttpResponse:
    """Take an invitation back."""
    invitation = _managed(request, slug).invitations.filter(pk=number).first()
    if invitation is None:
        raise NotThere(f"{slug} has no such invitation.")
    try:
        invitations.revoke(invitation, by=request.user)
        messages.success(request, "The invitation was taken back; its link is worth nothing.")
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("dashboard:members", slug)


def _managed(request: PageRequest, slug: str) -> Project:
    found = projects.find(slug, user=request.user)
    require(request.user, Right.MANAGE, found)
    return found


def _page(
    request: PageRequest, found: Project, more: dict[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    context = {**page_of.view(found, request.user), **(more or {})}
    return show(request, PAGE, "members", context, status=status)
