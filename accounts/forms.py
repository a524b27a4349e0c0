"""The sign-in form."""

from typing import cast

from allauth.account import forms


class LoginForm(forms.LoginForm):  # type: ignore[misc]
    """allauth's, whose field for the name is called what browsers and password managers know it by."""

    def add_prefix(self, field_name: str) -> str:
        return "username" if field_name == "login" else cast("str", super().add_prefix(field_name))
