"""An order for a template, as it is given on the command line, and the steps that it comes to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from guests.models import Guest
from machines.templates import inside, making, registry
from machines.templates.build import Build, Step, take_steps
from machines.templates.errors import BuildError
from machines.templates.place import Place, choose
from machines.templates.recipe import DEBIAN, Image, Recipe
from projects.models import Project
from proxmox.connect import driver


@dataclass(frozen=True)
class Order:
    """What is wanted. `image` None: the default one, and none on the embedded node."""

    recipe: Recipe
    projects: list[Project]
    image: Image | None
    node: str
    storage: str
    bridge: str
    vmid: int | None
    memory_mib: int
    kvm: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False


def carry_out(order: Order, *, say: Callable[[str], None]) -> Guest:
    """Build what was ordered, or go on with it, or say that it is there. Raises `BuildError` or `ProxmoxError`."""
    image = order.image or (None if driver().embedded() else DEBIAN)
    digest = order.recipe.digest(image)
    with registry.alone(order.recipe.name):
        guest = registry.present(order.recipe, digest, node=order.node, vmid=order.vmid)
        if guest and guest.template and not order.fresh:
            return _is_there(order, guest, digest, say)
        place = choose(node=guest.node if guest else order.node, storage=order.storage, imported=bool(image))
        if guest is None or guest.template:
            guest = registry.begin(order.recipe, digest, node=place.node, vmid=order.vmid)
        build = _build(order, guest, place, digest, image, say)
        say(f"Template {order.recipe.name} (recipe {digest}) becomes VM {guest.vmid} on node {guest.node}.")
        take_steps(build, _steps(build, order.projects))
        say(f"Template {order.recipe.name} is ready: VM {guest.vmid} on node {guest.node}.")
        return guest


def _build(
    order: Order, guest: Guest, place: Place, digest: str, image: Image | None, say: Callable[[str], None]
) -> Build:
    return Build(
        recipe=order.recipe,
        guest=guest,
        place=place,
        digest=digest,
        image=image,
        memory_mib=order.memory_mib,
        vmid_chosen=order.vmid is not None,
        bridge=order.bridge,
        kvm=order.kvm,
        environment=order.environment,
        say=say,
    )


def _steps(build: Build, projects: list[Project]) -> list[Step]:
    imported = build.image is not None
    stages = build.recipe.stages
    return [
        *([making.FETCH] if imported else []),
        making.MAKE,
        making.MARK_IT,
        *([making.GROW, making.SEED] if imported else []),
        making.START,
        making.AGENT,
        *(inside.provisioning(stage, f"Installing {stage}") for stage in stages),
        inside.VERIFY,
        inside.CLEAN,
        making.STOP,
        *([making.UNSEED] if imported else []),
        making.CONVERT,
        registry.registration(projects),
    ]


def _is_there(order: Order, guest: Guest, digest: str, say: Callable[[str], None]) -> Guest:
    if not driver().locate(guest.vmid):
        raise BuildError(
            f"VM {guest.vmid} was template {order.recipe.name}, and is not on the cluster any more. "
            f"Run manage.py template remove {guest.vmid}, then build again."
        )
    say(
        f"Template {order.recipe.name} (recipe {digest}) is there already: VM {guest.vmid} on node {guest.node}."
    )
    if late := registry.without(guest, order.projects):
        registry.offer(guest, order.recipe, late)
        say(f"It is now offered in {', '.join(project.slug for project in late)}, too.")
    return guest
