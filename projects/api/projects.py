"""Projects over REST. Their members are in `members`, tokens in `tokens`."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from projects import actions
from projects.models import Project
from projects.permissions import acting, require, require_administration


class ProjectSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["id", "slug", "name", "currency", "greediness", "hub", "machine_role", "created_at"]
        read_only_fields = ["id", "currency", "greediness", "hub", "machine_role", "created_at"]


class ProjectsSerializer(serializers.Serializer[Any]):
    results = ProjectSerializer(many=True)


class NewProjectSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=40, help_text="Lower-case letters, digits, hyphens.")
    name = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)


class GreedinessSerializer(serializers.Serializer[Any]):
    greediness = serializers.DecimalField(
        max_digits=3, decimal_places=2, min_value=0, max_value=1, help_text="From 0, nothing, to 1."
    )


class HubSerializer(serializers.Serializer[Any]):
    hub = serializers.CharField(max_length=40, help_text="Lower-case letters, digits, hyphens.")


class Projects(APIView):
    """The projects that you may see."""

    @extend_schema(responses=ProjectsSerializer, tags=["projects"], operation_id="projects_list")
    def get(self, request: Request) -> Response:
        visible = Project.objects.permitted(request.user, "view_project")
        return Response({"results": ProjectSerializer(visible, many=True).data})

    @extend_schema(
        request=NewProjectSerializer,
        responses={201: ProjectSerializer},
        tags=["projects"],
        operation_id="projects_create",
    )
    def post(self, request: Request) -> Response:
        """Make a project; you become its owner. A token has to be for all projects, and manage them."""
        asked = NewProjectSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        project = actions.create(**asked.validated_data, by=acting(request.user))
        return Response(ProjectSerializer(project).data, status=201)


class ProjectDetail(APIView):
    """One project."""

    @extend_schema(responses=ProjectSerializer, tags=["projects"], operation_id="projects_show")
    def get(self, request: Request, slug: str) -> Response:
        return Response(ProjectSerializer(actions.find(slug, user=request.user)).data)


class ProjectGreediness(APIView):
    """How much a project wants of a pool that it shares with others."""

    @extend_schema(
        request=GreedinessSerializer,
        responses=ProjectSerializer,
        tags=["projects"],
        operation_id="projects_greediness",
    )
    def put(self, request: Request, slug: str) -> Response:
        """Set it. What is left of today's pool is dealt out anew within seconds."""
        project = actions.find(slug, user=request.user)
        require(request.user, "manage_budgets", project)
        asked = GreedinessSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        actions.set_greediness(project, asked.validated_data["greediness"], by=acting(request.user))
        return Response(ProjectSerializer(project).data)


class ProjectHub(APIView):
    """The hub that orchestrates a project, and whose limits hold for it."""

    @extend_schema(
        request=HubSerializer, responses=ProjectSerializer, tags=["projects"], operation_id="projects_hub"
    )
    def put(self, request: Request, slug: str) -> Response:
        """Give the project to another hub; for staff, as it changes which limits hold for it."""
        project = actions.find(slug, user=request.user)
        require_administration(request.user)
        asked = HubSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        actions.set_hub(project, asked.validated_data["hub"], by=acting(request.user))
        return Response(ProjectSerializer(project).data)
