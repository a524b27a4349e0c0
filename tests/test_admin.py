"""The Django admin: every page of it opens, and history cannot be edited there."""

import pytest
from django.contrib import admin
from django.urls import reverse

from events.models import Event


@pytest.fixture
def admin_page(client, people):
    people["alice"].is_superuser = people["alice"].is_staff = True
    people["alice"].save()
    client.force_login(people["alice"])
    return client


@pytest.mark.parametrize("model", sorted(admin.site._registry, key=lambda model: model._meta.label))
def test_every_list_opens(admin_page, model, genesis):
    assert (
        admin_page.get(
            reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        ).status_code
        == 200
    )


def test_an_event_can_be_read_and_not_edited(admin_page, genesis):
    event = Event.objects.first()
    address = reverse("admin:events_event_change", args=[event.pk])

    assert admin_page.get(address).status_code == 200
    assert admin_page.post(address, {"kind": "x"}).status_code == 403
