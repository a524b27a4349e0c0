"""Query parameters that nobody documented are refused: a filter with a typing error must not answer everything."""

from functools import cache

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from projects.errors import Invalid


def check(view: APIView, request: Request) -> None:
    """Raises `Invalid`, naming those that there are."""
    if not request.query_params or request.method is None or view.schema is None:
        return
    there_are = known(type(view), request.method)  # type: ignore[arg-type]  # classes can be hashed
    if unknown := sorted(set(request.query_params) - there_are):
        there = f"There are {', '.join(sorted(there_are))}." if there_are else "It takes none."
        raise Invalid(f"There is no parameter {', '.join(map(repr, unknown))} here. {there}")


@cache
def known(view: type[APIView], method: str) -> frozenset[str]:
    """What the OpenAPI description names for this method of the view."""
    shown = "GET" if method in ("HEAD", "OPTIONS") else method
    if not hasattr(view, shown.lower()):
        return frozenset()
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]  # it alone holds the view's description
    made = generator.create_view(view.as_view(), shown)  # type: ignore[no-untyped-call]
    made.schema.method = shown
    names = {name for one in made.schema.get_override_parameters() for name in _names(one)}
    paginator = getattr(made, "paginator", None)
    if shown == "GET" and isinstance(paginator, CursorPagination):
        names |= {paginator.cursor_query_param, str(paginator.page_size_query_param)}
    return frozenset(names)


def _names(one: OpenApiParameter | type[Serializer[object]]) -> set[str]:
    if isinstance(one, OpenApiParameter):
        asked = one.location == OpenApiParameter.QUERY and not one.response
        return {one.name} if asked else set()
    return set((one() if isinstance(one, type) else one).fields)
