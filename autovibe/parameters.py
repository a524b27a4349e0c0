"""Query parameters are those that are documented: a filter with a typing error must not answer everything."""

from functools import cache
from typing import NamedTuple

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from projects.errors import Invalid


class Parameters(NamedTuple):
    """Of a method of a view, by name."""

    known: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()


def check(view: APIView, request: Request) -> None:
    """Raises `Invalid`, naming those that there are, or that are missing."""
    if request.method is None or view.schema is None:
        return
    known, required = described(type(view), request.method)  # type: ignore[arg-type]  # classes can be hashed
    if unknown := sorted(set(request.query_params) - known):
        there = f"There are {', '.join(sorted(known))}." if known else "It takes none."
        raise Invalid(f"There is no parameter {', '.join(map(repr, unknown))} here. {there}")
    if missing := sorted(name for name in required if not request.query_params.get(name)):
        raise Invalid(f"This needs the parameter {', '.join(map(repr, missing))}.")


@cache
def described(view: type[APIView], method: str) -> Parameters:
    """What the OpenAPI description names for this method of the view."""
    shown = "GET" if method in ("HEAD", "OPTIONS") else method
    if not hasattr(view, shown.lower()):
        return Parameters()
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]  # it alone holds the view's description
    made = generator.create_view(view.as_view(), shown)  # type: ignore[no-untyped-call]
    made.schema.method = shown
    asked = made.schema.get_override_parameters()
    names = {name for one in asked for name in _names(one)}
    paginator = getattr(made, "paginator", None)
    if shown == "GET" and isinstance(paginator, CursorPagination):
        names |= {paginator.cursor_query_param, str(paginator.page_size_query_param)}
    required = {
        one.name for one in asked if isinstance(one, OpenApiParameter) and one.required and one.name in names
    }
    return Parameters(frozenset(names), frozenset(required))


def _names(one: OpenApiParameter | type[Serializer[object]]) -> set[str]:
    if isinstance(one, OpenApiParameter):
        asked = one.location == OpenApiParameter.QUERY and not one.response
        return {one.name} if asked else set()
    return set((one() if isinstance(one, type) else one).fields)
