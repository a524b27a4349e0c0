"""Checkpoints read as a whole, over REST: how two differ, how two branches compare, and the tar file of one."""

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from budgets.api import checked
from checkpoints import actions
from checkpoints.models import Checkpoint
from checkpoints.reading import compare, diff
from checkpoints.reading.archive import Archive

PAGE = [
    OpenApiParameter("after", str, description="Only paths after this one; see `next`."),
    OpenApiParameter("page_size", int, description="At most so many files."),
    OpenApiParameter("git", bool, description="`false` leaves out what git keeps in .git."),
]


class PageSerializer(serializers.Serializer[Any]):
    """What may be asked of a list of files that differ."""

    after = serializers.CharField(default="")
    page_size = serializers.IntegerField(default=diff.CHANGES_MAX, min_value=1)
    git = serializers.BooleanField(default=True)


class DifferenceSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    change = serializers.ChoiceField(choices=["added", "removed", "modified", "renamed"])
    before_path = serializers.CharField(allow_null=True, help_text="What a renamed file was called.")
    size_before = serializers.IntegerField(allow_null=True)
    size_after = serializers.IntegerField(allow_null=True)
    diff = serializers.CharField(allow_null=True, help_text="Unified; null where there can be none.")
    without = serializers.ChoiceField(
        choices=["", "binary", "large", "unkept", "damaged", "link"],
        help_text="Why there is no diff; unkept: its content is in the snapshot only.",
    )


class TotalsSerializer(serializers.Serializer[Any]):
    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    modified = serializers.IntegerField()
    renamed = serializers.IntegerField()
    bytes_before = serializers.IntegerField(help_text="Of the changed files.")
    bytes_after = serializers.IntegerField()


DiffSerializer = inline_serializer(
    "Diff",
    {
        "from": serializers.CharField(),
        "to": serializers.CharField(),
        "totals": TotalsSerializer(help_text="Of all changes, not of this page alone."),
        "changes": DifferenceSerializer(many=True),
        "next": serializers.CharField(allow_null=True, help_text="The next page's address."),
    },
)


class SideSerializer(serializers.Serializer[Any]):
    handle = serializers.CharField(source="checkpoint.handle")
    checkpoints = serializers.IntegerField(help_text="Since the ancestor, as all of these.")
    turns = serializers.IntegerField(help_text="Model calls.")
    cost_micros = serializers.IntegerField()
    changed = serializers.IntegerField(help_text="Files.")
    grown_bytes = serializers.IntegerField(help_text="Of all files together; negative where they shrank.")


class ComparedFileSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    status = serializers.ChoiceField(
        choices=["here", "there", "same", "conflict"],
        help_text="Who changed it: one side alone, both the same way, or both differently.",
    )
    here = serializers.CharField(help_text="added, removed, modified, or empty.")
    there = serializers.CharField()
    base_size = serializers.IntegerField(allow_null=True)
    here_size = serializers.IntegerField(allow_null=True)
    there_size = serializers.IntegerField(allow_null=True)


class ComparisonSerializer(serializers.Serializer[Any]):
    ancestor = serializers.CharField(source="ancestor.handle", help_text="The nearest that both come from.")
    base = serializers.CharField(
        source="base.handle", help_text="The nearest of them whose list of files is kept."
    )
    currency = serializers.CharField(source="here.checkpoint.project.currency")
    here = SideSerializer()
    there = SideSerializer()
    totals = serializers.DictField(child=serializers.IntegerField(), help_text="Files by status, all pages.")
    files = ComparedFileSerializer(many=True)


class ComparisonPageSerializer(ComparisonSerializer):
    next = serializers.CharField(allow_null=True, help_text="The next page's address.")


class CheckpointDiff(APIView):
    """What changed from this checkpoint to another, by path."""

    @extend_schema(
        parameters=[
            OpenApiParameter("to", str, required=True, description="The later one: handle or id."),
            OpenApiParameter("path", str, description="Only this file."),
            *PAGE,
        ],
        responses=DiffSerializer,
        tags=["checkpoints"],
        operation_id="checkpoints_diff",
    )
    def get(self, request: Request, reference: str) -> Response:
        before = actions.find(reference, user=request.user)
        after = actions.find(request.query_params.get("to", ""), user=request.user)
        path = request.query_params.get("path", "")
        asked = _asked(request)
        page = diff.between(before, after, path=path, **asked)
        return Response(
            {
                "from": before.handle,
                "to": after.handle,
                "totals": TotalsSerializer(page.totals).data,
                "changes": DifferenceSerializer(page.changes, many=True).data,
                "next": _next(request, page.after),
            }
        )


class CheckpointCompare(APIView):
    """Two branches since they parted: which files either changed, and what that cost."""

    @extend_schema(
        parameters=[
            OpenApiParameter("with", str, required=True, description="The other: handle or id."),
            *PAGE,
        ],
        responses=ComparisonPageSerializer,
        tags=["checkpoints"],
        operation_id="checkpoints_compare",
    )
    def get(self, request: Request, reference: str) -> Response:
        here = actions.find(reference, user=request.user)
        there = actions.find(request.query_params.get("with", ""), user=request.user)
        found = compare.compare(here, there, **_asked(request))
        return Response({**ComparisonSerializer(found).data, "next": _next(request, found.after)})


class Tar(BaseRenderer):
    """Lets a client ask for `application/x-tar`; the view streams it."""

    media_type = "application/x-tar"
    format = "tar"

    def render(self, data: Any, *_: Any, **__: Any) -> bytes:
        """Only what is refused comes here, as a problem's JSON."""
        return bytes(JSONRenderer().render(data))


class CheckpointTar(APIView):
    """The workspace as a tar file, with modes, times and links.

    What is not kept is named in `left-out.txt` inside; `X-Left-Out` says how many files that is.
    """

    renderer_classes = (JSONRenderer, Tar)

    @extend_schema(
        parameters=[
            OpenApiParameter("transcripts", bool, description="With the agent's own history."),
            OpenApiParameter(
                "X-Left-Out",
                int,
                OpenApiParameter.HEADER,
                response=True,
                description="How many files are missing.",
            ),
        ],
        responses={(200, "application/x-tar"): OpenApiTypes.BINARY},
        tags=["checkpoints"],
        operation_id="checkpoints_tar",
    )
    def get(self, request: Request, reference: str) -> StreamingHttpResponse:
        checkpoint = actions.find(reference, user=request.user)
        return tar_of(checkpoint, transcripts=checked(TarSerializer, request.query_params)["transcripts"])


class TarSerializer(serializers.Serializer[Any]):
    transcripts = serializers.BooleanField(default=False)


def tar_of(checkpoint: Checkpoint, *, transcripts: bool) -> StreamingHttpResponse:
    """The answer that sends it, made while it is read."""
    archive = Archive(checkpoint, transcripts=transcripts)
    return StreamingHttpResponse(
        archive.stream(),
        content_type="application/x-tar",
        headers={
            "Content-Disposition": f'attachment; filename="{archive.file_name}"',
            "X-Content-Type-Options": "nosniff",
            "X-Left-Out": str(archive.left_out()),
        },
    )


def _asked(request: Request) -> dict[str, Any]:
    asked = checked(PageSerializer, request.query_params)
    return {"beyond": asked["after"], "limit": asked["page_size"], "git": asked["git"]}


def _next(request: Request, after: str | None) -> str | None:
    if after is None:
        return None
    asked = request.query_params.copy()
    asked["after"] = after
    return request.build_absolute_uri(f"{request.path}?{asked.urlencode()}")
