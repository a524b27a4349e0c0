"""`manage.py bootstrap`: what a first start needs, made once: an admin, a project with its genesis and a budget."""

import json
import os
import secrets
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from budgets import actions as budgets
from checkpoints import actions as checkpoints
from guests.models import Guest
from guests.states import State
from projects import actions as projects
from projects.models import ApiToken, Project, User
from proxmox import errors
from proxmox.connect import driver

BUDGET_MICROS = 20_000_000
CLI_TOKEN = "bin/autovibe"
NO_TEMPLATE = (
    f"Proxmox shows the token no template with VMID {settings.PROXMOX_TEMPLATE}, so no machine can be spawned yet. "
    "Build one: manage.py template build claude-code. Or set PROXMOX_TEMPLATE to one that you have."
)


class Command(BaseCommand):
    help = (
        "Make the first admin, project, genesis checkpoint and budget. Safe to repeat: what is there stays."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--admin", default="admin", help="name of the first admin (default: admin)")
        parser.add_argument("--project", default="demo", help="name of the first project (default: demo)")
        parser.add_argument(
            "--cli-config", metavar="FILE", help="write address and API token for bin/autovibe here"
        )
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="address to write into it")

    def handle(self, *args: Any, **options: Any) -> None:
        node = self._template_node()
        with transaction.atomic():
            admin = self._admin(options["admin"])
            project = _project(options["project"], admin)
            if node:
                checkpoints.genesis(project, _template(node))
            if not budgets.applicable(budgets.Payer(project.id)):
                budgets.set_limit(project, resource="money", limit=BUDGET_MICROS, by=admin)
        if options["cli_config"]:
            _write_cli_config(Path(options["cli_config"]), options["url"], admin)
        self.stdout.write(f"Project {project.slug} is ready." if node else NO_TEMPLATE)

    def _admin(self, name: str) -> User:
        """The first admin. A password that nobody gave is made, and shown this once."""
        if admin := User.objects.filter(username=name).first():
            return admin
        given = os.environ.get("AUTOVIBE_ADMIN_PASSWORD")
        password = given or secrets.token_urlsafe(12)
        if not given:
            self.stdout.write(f"The password of {name} is {password}")
        return User.objects.create_superuser(name, password=password)

    def _template_node(self) -> str:
        """The node that holds the template, or "". Raises `CommandError` when Proxmox does not answer."""
        try:
            with suppress(
                errors.Refused
            ):  # without the right, an operator has made it: manage.py proxmox check
                driver().ensure_pool(settings.PROXMOX_POOL)
            found = {vm.vmid: vm for vm in driver().inventory()}
        except errors.ProxmoxError as error:
            raise CommandError(f"Proxmox at {settings.PROXMOX_URL} cannot be asked: {error}") from None
        template = found.get(settings.PROXMOX_TEMPLATE)
        return template.node if template and template.template else ""


def _project(slug: str, admin: User) -> Project:
    return Project.objects.filter(slug=slug).first() or projects.create(slug=slug, by=admin)


def _template(node: str) -> Guest:
    template, _ = Guest.objects.get_or_create(
        vmid=settings.PROXMOX_TEMPLATE,
        defaults={"node": node, "template": True, "state": State.PRESENT},
    )
    return template


def _write_cli_config(path: Path, url: str, admin: User) -> None:
    """Keep the token that is there while it works; the file is for its owner's eyes only."""
    known = json.loads(path.read_text()) if path.exists() else {}
    alive = ApiToken.objects.filter(digest=ApiToken.digest_of(known.get("token", ""))).exists()
    token = known["token"] if alive else ApiToken.mint(admin, CLI_TOKEN)[1]
    path.touch(mode=0o600)
    path.write_text(json.dumps({"url": url, "token": token}) + "\n")
