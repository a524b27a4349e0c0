"""Members, invitations, and what a project's machines may be, over REST."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from projects import actions, invitations, members
from projects.api.projects import ProjectSerializer
from projects.errors import NotThere
from projects.models import Invitation, Project
from projects.permissions import acting, require
from projects.roles import MACHINE_ROLES, Right, Role

NAME = 'A user\'s name, or "group:" and the name of a group.'


class MemberSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text=NAME)
    role = serializers.ChoiceField(
        choices=[*Role.values, members.CUSTOM], help_text="custom: rights that are no role's."
    )
    rights = serializers.SerializerMethodField(help_text="What they may do in the project.")
    people = serializers.IntegerField(help_text="How many active people that is.")

    def get_rights(self, member: members.Member) -> list[str]:
        return [right for right in Right if right in member.rights]


class MembersSerializer(serializers.Serializer[Any]):
    results = MemberSerializer(many=True)
    machine_role = serializers.CharField(
        help_text="What the project's own machines may be in it; empty: nothing."
    )


class RoleSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=Role.choices)


class MachineRoleSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(
        choices=[(role.value, role.label) for role in MACHINE_ROLES],
        allow_blank=True,
        help_text="Empty: its machines may do nothing in it.",
    )


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    invited_by = serializers.CharField(source="invited_by.username")

    class Meta:
        model = Invitation
        fields = ["id", "role", "email", "note", "invited_by", "created_at", "expires_at"]


class NewInvitationSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=Role.choices)
    email = serializers.EmailField(
        required=False, default="", allow_blank=True, help_text="Where to send the link, if e-mail is set up."
    )
    note = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=invitations.NOTE_MAX,
        help_text="Who it is for.",
    )
    days = serializers.IntegerField(
        required=False, default=invitations.DAYS, min_value=1, max_value=invitations.DAYS_MAX
    )


class MadeInvitationSerializer(InvitationSerializer):
    link = serializers.URLField(help_text="Shown once; works once.")
    emailed = serializers.BooleanField()

    class Meta(InvitationSerializer.Meta):
        fields = [*InvitationSerializer.Meta.fields, "link", "emailed"]


class InvitationsSerializer(serializers.Serializer[Any]):
    results = InvitationSerializer(many=True)


class ProjectMembers(APIView):
    """The members of a project."""

    @extend_schema(responses=MembersSerializer, tags=["members"], operation_id="members_list")
    def get(self, request: Request, slug: str) -> Response:
        project = actions.find(slug, user=request.user)
        found = {"results": members.of(project), "machine_role": project.machine_role}
        return Response(MembersSerializer(found).data)


class ProjectMember(APIView):
    """One member of a project. Its name is a user's, or "group:" and the name of a group."""

    @extend_schema(responses=MemberSerializer, tags=["members"], operation_id="members_show")
    def get(self, request: Request, slug: str, name: str) -> Response:
        project = actions.find(slug, user=request.user)
        return Response(MemberSerializer(members.find(project, name)).data)

    @extend_schema(
        request=RoleSerializer, responses=MemberSerializer, tags=["members"], operation_id="members_set"
    )
    def put(self, request: Request, slug: str, name: str) -> Response:
        """Let somebody in, or give a member another role. For those who manage the project."""
        project = managed(request, slug)
        asked = RoleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        members.set_role(project, name, Role(asked.validated_data["role"]), by=acting(request.user))
        return Response(MemberSerializer(members.find(project, name)).data)

    @extend_schema(responses={204: None}, tags=["members"], operation_id="members_remove")
    def delete(self, request: Request, slug: str, name: str) -> Response:
        """Take a member out; everybody may take out themselves. Their tokens for this project alone are revoked, their
        open pages close; their machines go on."""
        project = actions.find(slug, user=request.user)
        user = acting(request.user)
        if name != user.username or user.bounds is not None:
            require(user, Right.MANAGE, project)
        members.remove(project, name, by=user)
        return Response(status=204)


class ProjectMachineRole(APIView):
    """What a project's own machines may do in it, by this API and MCP."""

    @extend_schema(
        request=MachineRoleSerializer,
        responses=ProjectSerializer,
        tags=["members"],
        operation_id="projects_machine_role",
    )
    def put(self, request: Request, slug: str) -> Response:
        """Let the machines be viewers or members of their project, or nothing. It holds at once."""
        project = managed(request, slug)
        asked = MachineRoleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        role = asked.validated_data["role"]
        members.set_machine_role(project, Role(role) if role else None, by=acting(request.user))
        return Response(ProjectSerializer(project).data)


class ProjectInvitations(APIView):
    """Invitations into a project that can still be accepted. For those who manage it."""

    @extend_schema(responses=InvitationsSerializer, tags=["members"], operation_id="invitations_list")
    def get(self, request: Request, slug: str) -> Response:
        found = invitations.of(managed(request, slug))
        return Response({"results": InvitationSerializer(found, many=True).data})

    @extend_schema(
        request=NewInvitationSerializer,
        responses={201: MadeInvitationSerializer},
        tags=["members"],
        operation_id="invitations_create",
    )
    def post(self, request: Request, slug: str) -> Response:
        """Invite somebody by a link, which is shown once and works once; whoever has no account makes one by it."""
        project = managed(request, slug)
        asked = NewInvitationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made, code = invitations.create(project, **asked.validated_data, by=acting(request.user))
        link = request.build_absolute_uri(reverse("dashboard:invitation", args=[code]))
        told = {**InvitationSerializer(made).data, "link": link, "emailed": invitations.send(made, link)}
        return Response(told, status=201)


class ProjectInvitation(APIView):
    """One invitation."""

    @extend_schema(responses={204: None}, tags=["members"], operation_id="invitations_revoke")
    def delete(self, request: Request, slug: str, number: UUID) -> Response:
        """Take it back."""
        found = managed(request, slug).invitations.filter(pk=number).first()
        if found is None:
            raise NotThere(f"{slug} has no such invitation.")
        invitations.revoke(found, by=acting(request.user))
        return Response(status=204)


def managed(request: Request, slug: str) -> Project:
    """The project, for somebody who may change its members."""
    project = actions.find(slug, user=request.user)
    require(request.user, Right.MANAGE, project)
    return project
