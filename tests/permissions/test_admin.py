"""The Django admin × everybody: sign-in for strangers, nothing for people, and for staff what their roles show."""

import pytest
from django.contrib import admin
from django.urls import reverse

from tests.permissions.asking import in_a_browser
from tests.permissions.cast import Principal
from tests.permissions.conftest import Stage
from tests.permissions.rows_api import Row

LISTS = sorted(f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry)


def _list(name: str) -> Row:
    return Row("GET", reverse(f"admin:{name}_changelist")[1:], "staff")


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_for_staff(name: str, stage: Stage) -> None:
    codes = {
        one.name: in_a_browser(one, _list(name), stage.demo).status_code
        for one in [Principal("stranger"), *stage.everybody]
        if one.user or one.name == "stranger"
    }

    assert (codes.pop("root"), codes.pop("stranger")) == (200, 302)
    assert set(codes.values()) == {403}, codes
