"""The few pages of signing in that differ from allauth's by more than their template."""

from typing import Any, cast

from allauth.account import views as account
from allauth.account.models import Login
from allauth.account.utils import get_next_redirect_url
from allauth.mfa.webauthn import views as passkeys
from allauth.mfa.webauthn.internal import flows
from allauth.socialaccount import views as company
from allauth.socialaccount.providers.openid_connect import views as oidc
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

# Called by the template, so that settings are read when they are needed.
sign_in = account.LoginView.as_view(
    extra_context={"company": lambda: settings.OIDC_NAME if settings.OIDC_ISSUER else ""}
)
connections = require_POST(company.ConnectionsView.as_view(template_name="accounts/disconnect.html"))


class PasskeyView(passkeys.LoginWebAuthnView):  # type: ignore[misc]
    """Signing in by passkey. allauth forgets where one wanted to go."""

    def form_valid(self, form: Any) -> HttpResponse:
        passkey = form.cleaned_data["credential"]
        login = Login(user=passkey.user, redirect_url=get_next_redirect_url(self.request))
        return cast("HttpResponse", flows.perform_passwordless_login(self.request, passkey, login))


passkey = never_cache(PasskeyView.as_view())


def forgotten(request: HttpRequest) -> HttpResponse:
    """Ask for a mail that lets one set a new password. Where no mail is sent, it says whom to ask."""
    if not settings.EMAIL_HOST:
        return render(request, "account/password_reset_without_mail.html")
    return cast("HttpResponse", account.password_reset(request))


@require_POST
def to_company(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Go to the provider by way of a page, not a redirect: browsers hold redirects of forms to our CSP's form-action,
    and where a provider sends people on to is not known beforehand.
    """
    answer: HttpResponse = oidc.login(request, provider_id)
    if answer.status_code != 302 or "://" not in answer["Location"]:
        return answer
    return render(request, "accounts/leaving.html", {"to": answer["Location"], "company": settings.OIDC_NAME})
