"""The OpenAPI description is whole, and says what the views do."""

import warnings
from functools import cache
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import URLPattern, get_resolver
from drf_spectacular.generators import SchemaGenerator
from rest_framework.views import APIView

from autovibe import about, conventions, parameters
from autovibe.urls import api

Json = dict[str, Any]


@cache
def schema() -> Json:
    return SchemaGenerator().get_schema(request=None, public=True)


def operations() -> list[tuple[str, str, Json]]:
    return [
        (path, method, operation)
        for path, methods in schema()["paths"].items()
        for method, operation in methods.items()
    ]


class TestDescription:
    def test_it_is_valid_and_there_is_nothing_to_warn_of(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())

    def test_it_is_openapi_3_1(self) -> None:
        assert schema()["openapi"] == "3.1.0"

    def test_every_operation_has_a_summary_and_one_tag_that_is_described(self) -> None:
        described = {tag["name"] for tag in schema()["tags"]}
        for path, method, operation in operations():
            assert operation.get("summary"), (method, path)
            assert len(operation["tags"]) == 1, (method, path)
            assert operation["tags"][0] in described, operation["tags"]

    def test_names_of_operations_are_used_once(self) -> None:
        names = [operation["operationId"] for _, _, operation in operations()]
        assert sorted(names) == sorted(set(names))

    @pytest.mark.parametrize("status", ["400", "401", "429", "503"])
    def test_every_operation_says_what_may_be_wrong(self, status: str) -> None:
        for path, method, operation in operations():
            assert status in operation["responses"], (method, path)

    def test_every_post_takes_a_key_and_every_update_a_tag(self) -> None:
        for path, method, operation in operations():
            headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
            wanted = {"get": "If-None-Match", "post": "Idempotency-Key"}.get(method, "If-Match")
            assert wanted in headers, (method, path)

    def test_what_is_begun_says_where_to_look(self) -> None:
        begun = [
            operation["responses"]["202"] for *_, operation in operations() if "202" in operation["responses"]
        ]
        assert begun
        assert all({"Location", "Retry-After"} <= set(answer["headers"]) for answer in begun)


class TestConventions:
    def test_every_view_keeps_them(self) -> None:
        views = [one.callback.cls for one in _under("api/v1/")]
        assert len(views) > 90
        assert [view for view in views if not issubclass(view, conventions.Conventional)] == []

    def test_what_is_known_of_parameters_is_what_the_description_says(self) -> None:
        """They are found without making the whole description, which takes seconds."""
        said = {
            (path, method): {one["name"] for one in operation["parameters"] if one["in"] == "query"}
            for path, method, operation in operations()
        }
        generator = SchemaGenerator()
        generator._initialise_endpoints()
        for path, _, method, callback in generator.endpoints:
            if path.startswith("/api/v1/"):
                view = generator.create_view(callback, method)
                path = generator.coerce_path(path, method, view)
                known, _ = parameters.described(callback.cls, method)
                assert known == said[path, method.lower()], (method, path)

    def test_the_index_leads_to_what_there_is(self) -> None:
        paths = set(schema()["paths"])
        assert {f"/api/v1/{name}/" for name in about.LINKS} <= paths


def _under(prefix: str) -> list[URLPattern]:
    (found,) = (one for one in get_resolver().url_patterns if str(one.pattern) == prefix)
    assert len(found.url_patterns) == len(api)
    return [one for one in found.url_patterns if issubclass(one.callback.cls, APIView)]
