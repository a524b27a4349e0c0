"""What every room's Django admin is made of: who sees which rows, lists that stay fast, and acts with their refusals.

Administrators get in. Of what belongs to a project they see what `Project.objects.permitted` shows them; what they may
do with it, the acts themselves check. Nothing is edited but by the rooms' actions.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Field, Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import cached_property

from projects.errors import Refusal
from projects.models import Project
from projects.permissions import acting
from projects.roles import Right

ROWS_COUNTED = 10_000  # of a list; further back leads a filter, or a search
PROJECTS_OFFERED = 200
AT_ONCE = 200  # rows that something is done to


def administers(request: HttpRequest) -> bool:
    """Whether whoever asks may be here at all."""
    return bool(getattr(request.user, "administers", False))


class Countable(Paginator[Any]):
    """Counts no more rows than somebody would page through: a count of millions takes a second, each time."""

    @cached_property
    def count(self) -> int:
        return cast("QuerySet[Any]", self.object_list)[:ROWS_COUNTED].count()


class OfProject(admin.SimpleListFilter):
    """Rows of one of the projects that the administrator may see."""

    title, parameter_name = "project", "project"
    path = "project"  # from the row to its project

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        visible = Project.objects.permitted(request.user, Right.VIEW)[:PROJECTS_OFFERED]
        return [(project.slug, project.slug) for project in visible]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if not self.value():
            return None
        # By its key, so that the index on it is used.
        key = Project.objects.filter(slug=self.value()).values_list("pk", flat=True).first()
        return queryset.filter(**{self.path: key}) if key else queryset.none()


def of_project(path: str) -> type[OfProject]:
    """The filter, where the project is further away than a column."""
    return type("OfProject", (OfProject,), {"path": path})


class ReadOnly(admin.ModelAdmin[Any]):
    """Rows that can be looked at, and neither added, changed nor deleted."""

    project_path = "project"  # from the row to its project; "": it concerns the whole system
    right = Right.VIEW  # on the project, to see its rows
    # Exact values of indexed columns: a part of one would be looked for in every row. "^" before it: how it begins.
    search_fields: ClassVar[list[str] | tuple[str, ...]] = ()
    paginator = Countable
    list_per_page = 50
    list_max_show_all = 200
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    # None of the columns: by what has no index it takes as long as the table is.
    sortable_by: ClassVar[list[str] | tuple[str, ...] | None] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = super().get_queryset(request)
        if not self.project_path:
            return found
        visible = Project.objects.permitted(acting(request.user), self.right)
        # By their keys, which the planner can reckon with.
        shown = Q(**{f"{self.project_path}__in": list(visible.values_list("pk", flat=True))})
        if _may_be_missing(self.model, self.project_path):  # then it is the system's
            shown |= Q(**{self.project_path: None})
        return found.filter(shown)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Outsiders are told that there is none, as everywhere; Django would lead them to the index."""
        found = super().get_object(request, object_id, from_field)
        if found is None:
            raise Http404
        return found

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """By what its filters offer. Django follows more: a session's key could be guessed letter by letter."""
        offered = [getattr(each, "parameter_name", each) for each in self.list_filter]
        named = any(lookup == name or lookup.startswith(f"{name}__") for name in offered)
        return named and bool(super().lookup_allowed(lookup, value, request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        for word in search_term.split():
            queryset = queryset.filter(self._matching(word))
        return queryset, False

    def _matching(self, word: str) -> Q:
        found = Q(pk__in=[])
        for name in self.search_fields:
            path = name.removeprefix("^")
            if path != name:
                found |= Q(**{f"{path}__istartswith": word})
            elif (value := _as_value(self.model, path, word)) is not None:
                found |= Q(**{path: value})
        return found

    def has_module_permission(self, request: HttpRequest) -> bool:
        return administers(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return administers(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """For `@admin.action(permissions=["act"])`: which rows they may act on is checked row by row."""
        return administers(request)

    def carry_out(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        act: Callable[[Any], object],
        *,
        done: str,
        warning: str = "",
    ) -> HttpResponse | None:
        """Do it to each row, and say what was refused. With a `warning`, that is shown first, to be confirmed."""
        rows = list(queryset[: AT_ONCE + 1])
        if len(rows) > AT_ONCE:
            self.message_user(request, f"Choose at most {AT_ONCE} at a time.", messages.ERROR)
            return None
        if warning and "confirmed" not in request.POST:
            return self._confirm(request, rows, warning)
        succeeded = [row for row in rows if self.does(request, act, row)]
        if succeeded:
            self.message_user(request, f"{done}: {_names(succeeded)}.", messages.SUCCESS)
        return None

    def does(self, request: HttpRequest, act: Callable[[Any], object], row: Model) -> bool:
        """Do it to this row; whether it was done. What was refused is said."""
        try:
            act(row)
        except Refusal as refusal:
            self.message_user(request, f"{row}: {refusal}", messages.ERROR)
        except PermissionDenied:
            self.message_user(request, f"{row}: your role does not allow that.", messages.ERROR)
        else:
            return True
        return False

    def _confirm(self, request: HttpRequest, rows: list[Any], warning: str) -> HttpResponse:
        name = request.POST["action"]
        _, _, title = cast("tuple[Any, str, str]", self.get_actions(request)[name])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": title,
            "warning": warning,
            "rows": rows,
            "action": name,
            "back": f"?{request.GET.urlencode()}" if request.GET else "",
        }
        return TemplateResponse(request, "admin/confirm.html", context)


class Small(ReadOnly):
    """A table of tens or hundreds of rows, which may be sorted by anything that it shows."""

    sortable_by: ClassVar[list[str] | tuple[str, ...] | None] = None


def _may_be_missing(model: type[Model], path: str) -> bool:
    *relations, column = path.split("__")
    for name in relations:
        model = cast("type[Model]", model._meta.get_field(name).related_model)
    return column != "pk" and bool(cast("Field[Any, Any]", model._meta.get_field(column)).null)


def _as_value(model: type[Model], path: str, word: str) -> Any:
    """The word as that column would have it; None where it could be none of its values."""
    *relations, column = path.split("__")
    for name in relations:
        model = cast("type[Model]", model._meta.get_field(name).related_model)
    try:
        return cast("Field[Any, Any]", model._meta.get_field(column)).to_python(word)
    except ValidationError:
        return None


def _names(rows: Iterable[Model]) -> str:
    return ", ".join(map(str, rows))
