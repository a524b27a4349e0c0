"""`manage.py account`: what only an operator can do for somebody who cannot get in."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actions
from events.actions import SYSTEM
from projects.models import User


class Command(BaseCommand):
    help = "Forget somebody's second factors and passkeys, or sign them out everywhere. Passwords: changepassword."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["forget-factors", "sign-out"])
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is nobody called {options['username']!r}.")
        if options["what"] == "forget-factors":
            kinds = actions.forget_factors(user)
            self.stdout.write(f"Forgotten: {', '.join(kinds) or 'nothing, there were none'}.")
        else:
            self.stdout.write(f"Sessions ended: {actions.end_sessions(user, by=SYSTEM)}.")
