"""Signing in and one's account: open to strangers where they must be, one's own everywhere else."""

import pytest
from django.urls import reverse

from accounts import urls
from tests.permissions.asking import in_a_browser
from tests.permissions.cast import Principal
from tests.permissions.conftest import Stage
from tests.permissions.rows_api import Row

# What a stranger is answered. Whoever is signed in and has no second factor gets the second code.
OPEN = {
    "login": (200, 302),
    "account_login": (200, 302),
    "mfa_authenticate": (302, 302),  # nobody is half-way in
    "mfa_login_webauthn": (302, 302),  # the browser asks for it, by script
    "account_inactive": (200, 200),
    "account_reset_password": (200, 200),
    "account_reset_password_done": (200, 200),
    "account_reset_password_from_key": (200, 200),  # a bad link says so
    "account_reset_password_from_key_done": (200, 200),
    "socialaccount_login_cancelled": (200, 200),
    "logout": (405, 405),  # by POST only
    "account_logout": (405, 405),
    "openid_connect_login": (405, 405),
    "mfa_index": (302, 302),  # to the account's page
    "mfa_list_webauthn": (302, 302),
    "socialaccount_connections": (405, 405),
    "openid_connect_callback": (404, 404),  # no company is set up
}
# What whoever is signed in is answered: most of it asks for the password again first.
OWN = {
    "account_reauthenticate": 200,
    "mfa_reauthenticate": 302,
    "mfa_reauthenticate_webauthn": 302,
    "account_change_password": 200,
    "account_set_password": 302,
    "mfa_activate_totp": 302,
    "mfa_deactivate_totp": 404,
    "mfa_view_recovery_codes": 404,
    "mfa_generate_recovery_codes": 302,
    "mfa_add_webauthn": 302,
    "mfa_edit_webauthn": 302,
    "mfa_remove_webauthn": 302,
}
NAMES = {
    "account_reset_password_from_key": {"uidb36": "1", "key": "abc-def"},
    "mfa_edit_webauthn": {"pk": 1},
    "mfa_remove_webauthn": {"pk": 1},
    "openid_connect_login": {"provider_id": "none"},
    "openid_connect_callback": {"provider_id": "none"},
}


def test_no_route_is_forgotten() -> None:
    assert {route.name for route in urls.urlpatterns} == {*OPEN, *OWN}


@pytest.mark.parametrize("name", OPEN)
def test_what_is_open_is_answered_so(name: str, stage: Stage) -> None:
    assert (_status("stranger", name, stage), _status("bob", name, stage)) == OPEN[name]


@pytest.mark.parametrize("name", OWN)
def test_what_is_one_s_own_is_for_whoever_is_signed_in(name: str, stage: Stage) -> None:
    answer = in_a_browser(Principal("stranger"), _row(name), stage.demo)

    assert _status("bob", name, stage) == OWN[name]
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/")


def _row(name: str) -> Row:
    return Row("GET", reverse(name, kwargs=NAMES.get(name))[1:], "anyone")


def _status(who: str, name: str, stage: Stage) -> int:
    principal = next(one for one in stage.everybody if one.name == who)
    return in_a_browser(principal, _row(name), stage.demo).status_code
