"""`manage.py template`: build templates on the cluster, list them, remove them. The work is in `machines.templates`."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from guests.models import Guest
from machines.templates import order, recipe, removal
from machines.templates.errors import BuildError
from machines.templates.recipe import DEBIAN, Image, InvalidRecipe
from projects.errors import Refusal
from projects.models import Project
from proxmox import errors


class Command(BaseCommand):
    help = (
        "Build, list and remove templates, the VMs that new machines are clones of. "
        "A build that was interrupted goes on when the same command is given again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        _describe_build(verbs.add_parser("build", help="build one, or go on with it"))
        verbs.add_parser("list", help="those there are, finished or not")
        remove = verbs.add_parser("remove", help="destroy one; machines that are linked clones of it keep it")
        remove.add_argument("which", metavar="NAME|VMID")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except (BuildError, InvalidRecipe, Refusal) as error:
            raise CommandError(str(error)) from None
        except errors.ProxmoxError as error:
            raise CommandError(f"{error}\nThe same command goes on where this one ended.") from None

    def _build(self, options: dict[str, Any]) -> None:
        chosen = recipe.load(options["name"], options["recipes"])
        order.carry_out(
            order.Order(
                recipe=chosen,
                projects=_projects(options["project"]),
                image=Image(options["image"], options["sha512"]) if options["image"] else None,
                node=options["node"],
                storage=options["storage"],
                bridge=options["bridge"],
                vmid=options["vmid"],
                memory_mib=options["memory"] or chosen.memory_mib,
                kvm=not options["no_kvm"],
                environment=dict(options["environment"]),
                fresh=options["fresh"],
            ),
            say=self._say,
        )

    def _list(self, options: dict[str, Any]) -> None:
        for line in removal.table():
            self._say(line)

    def _remove(self, options: dict[str, Any]) -> None:
        guest: Guest = removal.find(options["which"])
        removal.remove(guest, say=self._say)
        self._say(f"Template VM {guest.vmid} is gone.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _describe_build(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("name", help=f"the recipe: {', '.join(recipe.names())}, or one in --recipes")
    add("--project", action="append", default=[], metavar="SLUG", help="offer it there (default: in all)")
    add("--node", default="", help="default: the first that has what it takes")
    add("--storage", default="", help="where its disk goes (default: the one that branches best)")
    add("--vmid", type=int, help="default: the next of autovibe's own")
    add("--memory", type=int, metavar="MIB", help="while it is built; machines say their own")
    add("--bridge", default="vmbr0", help="its network, with DHCP; may carry options: vmbr0,tag=5")
    add(
        "--no-kvm",
        action="store_true",
        help="for nodes without virtualization: everything is emulated, slowly",
    )
    add("--image", default="", metavar="URL", help=f"cloud image (default: {DEBIAN.url.rpartition('/')[2]})")
    add("--sha512", default="", help="of the image (default: looked up in SHA512SUMS beside it)")
    add(
        "--environment",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="for the recipe's scripts, and no longer: https_proxy, npm_config_registry, …",
    )
    add(
        "--recipes",
        type=Path,
        default=recipe.DIRECTORY,
        metavar="DIR",
        help="a directory of your own recipes",
    )
    add("--fresh", action="store_true", help="build another one although this one is there")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _projects(slugs: list[str]) -> list[Project]:
    found = Project.objects.filter(slug__in=slugs) if slugs else Project.objects.all()
    known = {project.slug: project for project in found.order_by("slug")}
    if missing := [slug for slug in slugs if slug not in known]:
        raise CommandError(f"There is no project {missing[0]}.")
    return list(known.values())
