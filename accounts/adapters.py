"""What django-allauth asks of us: who is calling, what to say, what to encrypt, who of a company may come in."""

import logging
import time
from smtplib import SMTPException
from typing import Any, cast

import qrcode
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.app_settings import REAUTHENTICATION_TIMEOUT
from allauth.account.internal.flows.login import get_authentication_records
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from qrcode.image.svg import SvgPathFillImage

from accounts import oidc, receivers, throttling
from events.context import current
from gateway import secrets
from projects.models import User

logger = logging.getLogger(__name__)

TOTP = "second factors"  # the purpose that they are sealed for
# What is worth saying, by the name of allauth's template for it.
SENTENCES = {
    "account/messages/password_changed.txt": "Your password is changed, and other sessions are signed out.",
    "account/messages/password_set.txt": "You have a password now.",
    "mfa/messages/totp_activated.txt": "Your authenticator app is set up.",
    "mfa/messages/totp_deactivated.txt": "The authenticator app is not asked any more.",
    "mfa/messages/webauthn_added.txt": "The passkey is added.",
    "mfa/messages/webauthn_removed.txt": "The passkey is removed.",
    "socialaccount/messages/account_connected.txt": "The account is connected.",
    "socialaccount/messages/account_connected_other.txt": "That account is connected to somebody else here.",
    "socialaccount/messages/account_disconnected.txt": "The account is not connected any more.",
}


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Passwords, and what surrounds signing in."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "There is nobody of that name with that password.",
        "too_many_login_attempts": "Too many attempts failed. Wait a few minutes, or use a passkey.",
        "incorrect_password": "That is not your password.",
        "enter_current_password": "That is not your present password.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return current().address or request.META.get("REMOTE_ADDR") or "unknown"

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("dashboard:account")

    def add_message(self, request: HttpRequest, level: int, *args: Any, **more: Any) -> None:
        template = args[0] if args else more.get("message_template")
        if sentence := more.get("message") or SENTENCES.get(str(template)):
            messages.add_message(request, level, sentence)

    def pre_login(self, request: HttpRequest, user: User, **more: Any) -> HttpResponse | None:
        if user.kind not in {User.Kind.PERSON, User.Kind.SCREEN}:
            return cast("HttpResponse", self.respond_user_inactive(request, user))
        return cast("HttpResponse | None", super().pre_login(request, user, **more))

    def post_login(self, request: HttpRequest, user: User, **more: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **more)
        throttling.remember_browser(request, response, user.get_username())
        return response

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        receivers.record_failure(str(credentials.get("username", "")))

    def is_reauthentication_required(self, *, app: str, **more: Any) -> bool:
        """Not while the sign-in itself is young."""
        records = get_authentication_records(self.request, self.request.user)
        if records and time.time() - records[-1]["at"] < REAUTHENTICATION_TIMEOUT:
            return False
        return bool(super().is_reauthentication_required(app=app, **more))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A mail server that is away must not undo, or hide, what the mail is about."""
        try:
            super().send_mail(template_prefix, email, context)
        except (OSError, SMTPException):
            logger.exception("A mail (%s) could not be sent", template_prefix)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: User,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        super().send_notification_mail(template_prefix, user, context, email or user.email or None)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        name = str(credentials.get("username", "")).lower()
        return f"{name}:{throttling.known_browser(request, name)}"


class FactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Second factors. What a stolen copy of the database could be used with is encrypted in it."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "That was not it. Codes work once, and for half a minute.",
    }

    def encrypt(self, text: str) -> str:
        return secrets.seal(TOTP, text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return secrets.unseal(TOTP, encrypted_text.encode()).decode()

    def build_totp_svg(self, url: str) -> str:
        """On white in both themes: apps do not read it otherwise."""
        drawn: str = qrcode.make(url, image_factory=SvgPathFillImage).to_string(encoding="unicode")
        return drawn

    def _get_site_name(self) -> str:
        return "autovibe"

    def generate_authenticator_name(self, user: User, type: Any) -> str:
        return f"Passkey {user.authenticator_set.filter(type=type).count() + 1}"  # type: ignore[attr-defined]


class CompanyAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """The company's OpenID Connect provider."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return bool(settings.OIDC_SIGN_UP)

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if sentence := oidc.refusal(sociallogin):
            receivers.record_refusal(sociallogin, sentence)
            messages.error(request, sentence)
            raise ImmediateHttpResponse(
                redirect("dashboard:account" if request.user.is_authenticated else "login")
            )

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("dashboard:account")

    def on_authentication_error(self, request: HttpRequest, provider: Any, **more: Any) -> None:
        logger.warning("Signing in with %s failed: %s %s", provider, more.get("error"), more.get("exception"))
