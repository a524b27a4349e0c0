"""`manage.py template` on a real embedded node, with a recipe that needs no network."""

import hashlib
import io
import os
import re
import secrets
import signal
import subprocess
import sys
import tarfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pycdlib
import pytest
import requests
import yaml
from django.core.management import CommandError, call_command
from django.urls import reverse

from checkpoints.models import Checkpoint
from checkpoints.states import State as CheckpointState
from guests import actions as guests
from guests.models import Guest
from guests.states import State
from machines.templates import making, order, recipe, registry, seed
from machines.templates.build import await_task
from machines.templates.recipe import Image
from projects import actions as projects
from proxmox import connect
from proxmox.diagnosis import roles
from proxmox.diagnosis.roles import Need
from proxmox.driver import VM, Clone, Driver
from tests.node_process import ROOT, NodeProcess, start_node

TINY = """
name = "tiny"
title = "Tiny"
stages = ["first", "second"]
verify = ["tiny --version"]
disk_gib = 10
[environment]
VERSION = "1.0"
"""
FIRST = 'echo first >> "${GUEST_ROOT:-}/workspace/runs"\n'
SECOND = """
echo second >> "${GUEST_ROOT:-}/workspace/runs"
while [ -e "${GUEST_ROOT:-}/workspace/wait" ]; do sleep 0.05; done
mkdir -p "$TOOLCHAIN/bin"
printf '#!/bin/sh\\necho tiny %s\\n' "$VERSION" > "$TOOLCHAIN/bin/tiny"
chmod 755 "$TOOLCHAIN/bin/tiny"
publish tiny
"""
BOTH_ONCE = "first\nsecond\n"
MOTD = b"a system of its own\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with start_node(tmp_path_factory.mktemp("node"), faults=True, boot_seconds=0) as node:
        yield node


@pytest.fixture
def driver(node: NodeProcess, settings: Any) -> Iterator[Driver]:
    """The driver that the command uses in this process."""
    settings.PROXMOX_URL, settings.PROXMOX_TOKEN = node.url, node.token
    connect._local.__dict__.clear()
    yield connect.driver()
    connect._local.__dict__.clear()


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    directory = tmp_path / "recipes"
    directory.mkdir()
    for name, text in (("tiny.toml", TINY), ("first.sh", FIRST), ("second.sh", SECOND)):
        (directory / name).write_text(text)
    # Each test builds a template of its own on the node that they share.
    (directory / "clean.sh").write_text(f"{(recipe.DIRECTORY / 'clean.sh').read_text()}# {tmp_path}\n")
    return directory


@pytest.fixture
def command(driver: Driver) -> Callable[..., str]:
    """Give the command; what it said."""

    def command(*words: str) -> str:
        said = io.StringIO()
        call_command("template", *words, stdout=said)
        return said.getvalue()

    return command


@pytest.fixture
def build(command: Callable[..., str], recipes: Path) -> Callable[..., str]:
    return lambda *more: command("build", "tiny", "--recipes", str(recipes), *more)


def disk(node: NodeProcess, vmid: int) -> Path:
    return node.state / "guests" / str(vmid) / "disk"


def clone(driver: Driver, template: Guest, vmid: int) -> None:
    upid = driver.clone(Clone(template.vm, "", VM(template.node, vmid), "copy", "a copy", "autovibe"))
    assert upid
    await_task(upid)


@pytest.mark.django_db
class TestBuild:
    def test_it_makes_a_template_that_machines_can_be_cloned_from(self, build, driver, node, project):
        said = build()

        template = Guest.objects.get()
        assert (template.template, template.state) == (True, State.PRESENT)
        assert driver.observe(template.vm).template
        assert f"is ready: VM {template.vmid}" in said
        clone(driver, template, 900_001)
        assert (disk(node, 900_001) / "opt/autovibe/bin/tiny").read_text() == "#!/bin/sh\necho tiny 1.0\n"
        assert (disk(node, 900_001) / "workspace/runs").read_text() == BOTH_ONCE

    def test_it_says_each_step_its_time_and_what_the_checks_found(self, build):
        lines = build().splitlines()

        assert re.fullmatch(r"\[1/\d+\] Making the VM: \d+\.\d s", lines[1])
        assert "    tiny --version: tiny 1.0" in lines

    def test_projects_can_begin_there(self, build, project, genesis):
        build()

        made = Checkpoint.objects.get(handle="demo.c1")
        assert (made.why, made.kind, made.state) == ("Tiny template", "genesis", CheckpointState.CAPTURED)
        assert made.guest.storage  # so that it is known how machines are made from it

    def test_the_spawn_page_offers_it_by_its_title(self, build, funded, client, alice):
        build()
        client.force_login(alice)

        page = client.get(reverse("dashboard:spawn")).content.decode()

        assert '<option value="demo.c0">Tiny template, ' in page

    def test_only_the_projects_that_are_named_can(self, build, project, alice):
        projects.create(slug="other", by=alice)

        build("--project", "demo")

        assert Checkpoint.objects.get().project == project

    def test_a_project_begins_at_its_first_template_unless_something_else_is_said(
        self, build, project, genesis, spawn
    ):
        build()

        assert spawn().source == genesis

    def test_nothing_that_clones_must_not_share_is_left(self, build, driver, node):
        build()

        left = disk(node, Guest.objects.get().vmid)
        assert (left / "etc/machine-id").read_text() == ""
        assert not (left / "var/lib/autovibe/template").exists()

    def test_its_vmid_can_be_chosen(self, build, driver):
        build("--vmid", "7001")

        assert driver.observe(VM("embedded", 7001)).template

    def test_a_number_that_somebody_else_has_taken_is_left_to_them(self, build, driver):
        taken = guests.fresh_vmid() + 1
        upid = driver.create(VM("embedded", taken), {"name": "foreign"})
        if upid:
            await_task(upid)

        build()

        assert Guest.objects.get().vmid == taken + 1
        assert driver.config(VM("embedded", taken))["name"] == "foreign"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "options", [{"storage_type": "qcow2"}, {"storage_type": "zfs"}, {"sandbox": False}], ids=str
)
def test_it_is_built_on_any_kind_of_storage_and_without_a_sandbox(options, tmp_path, settings, recipes):
    with start_node(tmp_path / "node", **options) as other:
        settings.PROXMOX_URL, settings.PROXMOX_TOKEN = other.url, other.token
        connect._local.__dict__.clear()
        call_command("template", "build", "tiny", "--recipes", str(recipes), stdout=io.StringIO())
        template = Guest.objects.get()
        clone(connect.driver(), template, 900_001)
        connect._local.__dict__.clear()

        assert template.image_format == ("qcow2" if options.get("storage_type") == "qcow2" else "raw")
        assert (disk(other, 900_001) / "opt/autovibe/bin/tiny").exists()


@pytest.mark.django_db
class TestBuiltBefore:
    def test_a_second_time_nothing_is_done(self, build, driver):
        build()
        before = driver.inventory()

        said = build()

        assert "is there already" in said
        assert driver.inventory() == before

    def test_a_project_that_is_new_gets_its_beginning(self, build, project, alice):
        build()
        projects.create(slug="later", by=alice)

        assert "now offered in later" in build()
        assert Checkpoint.objects.filter(project__slug="later").count() == 1

    def test_a_fresh_one_is_built_beside_it(self, build, driver):
        build()
        build("--fresh")

        first, second = Guest.objects.order_by("vmid")
        assert driver.observe(first.vm).template
        assert driver.observe(second.vm).template

    def test_another_recipe_is_another_template(self, build, recipes):
        build()
        (recipes / "tiny.toml").write_text(TINY.replace("1.0", "1.1"))

        assert "tiny --version: tiny 1.1" in build()
        assert Guest.objects.filter(template=True).count() == 2

    def test_one_that_was_destroyed_by_hand_is_said_so(self, build, command, driver):
        build()
        guest = Guest.objects.get()
        await_task(driver.destroy(guest.vm) or "")

        with pytest.raises(CommandError, match=f"template remove {guest.vmid}"):
            build()

        command("remove", str(guest.vmid))
        assert "is ready" in build()


class Interrupted(BaseException):
    """As Ctrl-C."""


@pytest.mark.django_db
class TestInterrupted:
    def test_it_goes_on_after_any_step(self, driver, recipes, node, project):
        asked = order.Order(
            recipe=recipe.load("tiny", recipes),
            projects=[project],
            image=None,
            node="",
            storage="",
            bridge="vmbr0",
            vmid=None,
            memory_mib=512,
        )
        times = 0
        while not (template := Guest.objects.filter(template=True).first()):
            times += 1
            with pytest.raises(Interrupted):
                order.carry_out(asked, say=_interrupting(after=times))

        assert times > 8
        assert Guest.objects.get() == template
        assert (disk(node, template.vmid) / "workspace/runs").read_text() == BOTH_ONCE
        assert [vm.vmid for vm in driver.inventory() if "tiny" in vm.name].count(template.vmid) == 1


def _interrupting(*, after: int) -> Callable[[str], None]:
    """Listens to so many steps, and stops the command there."""
    heard = 0

    def say(line: str) -> None:
        nonlocal heard
        heard += line.startswith("[")
        if heard >= after:
            raise Interrupted

    return say


@pytest.mark.django_db(transaction=True)
class TestKilled:
    def test_it_goes_on_after_being_killed_and_an_installation_goes_on_meanwhile(
        self, build, node, driver, recipes, project
    ):
        gate = recipes / "first.sh"
        gate.write_text(FIRST + ': > "${GUEST_ROOT:-}/workspace/wait"\n')
        for step in ("Making the VM", "Installing first"):
            _killed_after(step, node, recipes)
        guest = Guest.objects.get()
        (disk(node, guest.vmid) / "workspace/wait").unlink()
        _killed_after("Cleaning up", node, recipes)

        said = build()

        assert "Cleaning up: done before" in said
        assert Guest.objects.get().template
        assert (disk(node, guest.vmid) / "workspace/runs").read_text() == BOTH_ONCE


def _killed_after(step: str, node: NodeProcess, recipes: Path) -> None:
    """Run the command in a process of its own, and kill it a moment after it says that the step is done."""
    words = [sys.executable, "manage.py", "template", "build", "tiny", "--recipes", str(recipes)]
    environment = {**os.environ, "PROXMOX_URL": node.url, "PROXMOX_TOKEN": node.token}
    process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout as lines:
        said = []
        for line in lines:
            said.append(line)
            if step in line:
                break
        process.send_signal(signal.SIGKILL)
    process.wait()
    assert step in said[-1], said


@pytest.fixture
def fault(node: NodeProcess) -> Iterator[Callable[..., None]]:
    """Have the node do something bad; it is good again afterwards."""

    def fault(**what: Any) -> None:
        requests.post(f"{node.url}/fault", headers=node.headers, data=what).raise_for_status()

    yield fault
    requests.delete(f"{node.url}/fault", headers=node.headers).raise_for_status()


@pytest.mark.django_db
class TestOnABadDay:
    @pytest.mark.parametrize(
        "request_",
        [
            "POST */qemu",
            "POST */status/start",
            "POST */agent/exec",
            "GET */agent/exec-status",
            "PUT */config",
            "POST */status/shutdown",
            "POST */template",
        ],
    )
    def test_an_answer_that_is_lost_is_looked_for(self, build, driver, node, fault, request_):
        fault(action="drop", match=request_, times=1)

        assert "is ready" in build()

        template = Guest.objects.get()
        assert driver.observe(template.vm).template
        assert (disk(node, template.vmid) / "workspace/runs").read_text() == BOTH_ONCE

    def test_a_cluster_without_quorum_is_waited_for(self, build, fault):
        fault(
            action="fail", match="POST */qemu", times=2, status=500, reason="cluster not ready - no quorum?"
        )

        assert "is ready" in build()

    def test_half_a_vm_is_a_matter_for_an_operator_and_then_it_goes_on(self, build, node, fault):
        fault(action="kill-task", match="POST */qemu", times=1)
        with pytest.raises(
            CommandError, match=r"half made and locked.*\n?.*qm unlock (\d+) && qm destroy \1"
        ):
            build()
        vmid = Guest.objects.get().vmid

        fault(action="unlock", vmid=vmid)
        url = f"{node.url}/api2/json/nodes/embedded/qemu/{vmid}"
        upid = requests.delete(url, headers=node.headers).json()["data"]
        await_task(upid)

        assert f"is ready: VM {vmid}" in build()

    def test_a_full_storage_is_the_nodes_own_sentence(self, build, fault):
        fault(action="disk-full", match="POST */qemu", times=1)

        with pytest.raises(CommandError, match="A task of Proxmox failed"):
            build()


@pytest.mark.django_db
class TestWithoutKVM:
    def test_the_option_is_named_and_then_it_goes_on_with_it(self, build, driver, fault):
        reason = (
            "KVM virtualisation configured, but not available. Either disable in VM configuration "
            "or enable in BIOS."
        )
        fault(action="fail-task", match="POST */status/start", times=1, reason=reason)
        with pytest.raises(CommandError, match="add --no-kvm to this command"):
            build()

        assert "is ready" in build("--no-kvm")

        template = Guest.objects.get()
        clone(driver, template, 900_007)
        assert driver.config(VM(template.node, 900_007))["kvm"] == "0"

    def test_another_failure_to_start_is_told_as_it_is(self, build, fault):
        fault(action="fail-task", match="POST */status/start", times=1, reason="QEMU exited with code 1")

        with pytest.raises(CommandError, match="A task of Proxmox failed: QEMU exited with code 1"):
            build()


@pytest.mark.django_db
class TestSparing:
    def test_a_guest_that_boots_is_asked_for_its_agent_every_other_second_at_most(self, build, fault):
        # The step asks once whether it is done.
        fault(
            action="fail",
            match="POST */agent/ping",
            times=1,
            status=500,
            reason="QEMU guest agent is not running",
        )

        (took,) = re.findall(r"Waiting for its guest agent: ([\d.]+) s", build())

        assert float(took) >= 2


@pytest.mark.django_db
class TestFailure:
    def test_a_stage_that_fails_is_shown_with_the_end_of_its_log(self, build, recipes):
        (recipes / "second.sh").write_text("echo the mirror is away; exit 7\n")

        with pytest.raises(CommandError, match=r"Stage second failed with exit code 7:\nthe mirror is away"):
            build()

        assert not Guest.objects.get().template

    def test_once_the_cause_is_gone_only_what_failed_is_run_again(self, build, recipes, node):
        (recipes / "second.sh").write_text(f'[ -e "${{GUEST_ROOT:-}}/workspace/mended" ]\n{SECOND}')
        with pytest.raises(CommandError):
            build()
        guest = Guest.objects.get()
        (disk(node, guest.vmid) / "workspace/mended").touch()

        build()

        assert (disk(node, guest.vmid) / "workspace/runs").read_text() == BOTH_ONCE

    def test_a_check_that_fails_is_a_failure(self, build, recipes):
        (recipes / "tiny.toml").write_text(TINY.replace("tiny --version", "no-such-program --version"))

        with pytest.raises(CommandError, match="no-such-program"):
            build()

        assert not Guest.objects.get().template

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["--node", "elsewhere"], "Node elsewhere is not online; the cluster's nodes are embedded"),
            (["--storage", "nowhere"], "Storage nowhere on node embedded does not hold VM disks"),
            (["--project", "nope"], "There is no project nope"),
            (["--environment", "1x=2"], "is not NAME=VALUE"),
        ],
    )
    def test_what_does_not_exist_is_named(self, build, words, sentence):
        with pytest.raises(CommandError, match=sentence):
            build(*words)

        assert not Guest.objects.exists()

    def test_a_vmid_that_somebody_else_has_is_refused(self, build, driver):
        with pytest.raises(CommandError, match="VMID 9000 belongs to somebody else"):
            build("--vmid", "9000")

    def test_two_commands_do_not_build_the_same_at_once(self, build):
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(%s)", [registry.lock("tiny")])

            with pytest.raises(CommandError, match="is being built by another command"):
                build()

    def test_a_computer_that_lacks_npm_is_told_so(self, tmp_path):
        (tmp_path / "root").mkdir()
        script = recipe.load("claude-code").script("node", {"EMBEDDED": "1"})

        ran = subprocess.run(
            ["/bin/sh", "-c", script],
            env={"PATH": str(tmp_path), "GUEST_ROOT": str(tmp_path)},
            capture_output=True,
            text=True,
        )

        assert (ran.returncode, ran.stdout.startswith("This computer lacks npm")) == (1, True)


@pytest.mark.django_db
class TestListAndRemove:
    def test_the_list_tells_ready_ones_from_unfinished_ones(self, build, command, recipes, project):
        build()
        (recipes / "second.sh").write_text("exit 1\n")
        with pytest.raises(CommandError):
            build()

        ready, unfinished = command("list").splitlines()[1:]

        assert re.search(r"tiny +embedded +ready +demo\.c0", ready)
        assert re.search(r"tiny +embedded +unfinished", unfinished)

    def test_a_template_is_destroyed_and_nothing_begins_there_any_more(self, build, command, driver, project):
        build()
        guest = Guest.objects.get()

        command("remove", "tiny")

        guest.refresh_from_db()
        assert guest.state == State.GONE
        assert guest.vmid not in {vm.vmid for vm in driver.inventory()}
        assert Checkpoint.objects.get().state == CheckpointState.BROKEN

    def test_a_running_build_can_be_removed(self, build, command, driver, recipes):
        (recipes / "second.sh").write_text("exit 1\n")
        with pytest.raises(CommandError):
            build()
        guest = Guest.objects.get()

        command("remove", str(guest.vmid))

        assert guest.vmid not in {vm.vmid for vm in driver.inventory()}

    def test_one_that_was_interrupted_before_it_had_its_tag_can_be_removed(
        self, build, command, driver, fault
    ):
        fault(action="fail", match="PUT */config", times=1, status=400, reason="not now")
        with pytest.raises(CommandError, match="not now"):
            build()
        guest = Guest.objects.get()
        assert "tags" not in driver.config(guest.vm)

        command("remove", str(guest.vmid))

        assert guest.vmid not in {vm.vmid for vm in driver.inventory()}

    def test_a_vm_that_the_node_still_cleans_up_after_is_waited_for(
        self, build, command, driver, recipes, fault
    ):
        (recipes / "second.sh").write_text("exit 1\n")
        with pytest.raises(CommandError):
            build()
        guest = Guest.objects.get()
        reason = f"can't lock file '/var/lock/qemu-server/lock-{guest.vmid}.conf' - got timeout"
        fault(action="fail-task", match="DELETE */qemu/*", times=2, reason=reason)

        command("remove", str(guest.vmid))

        assert guest.vmid not in {vm.vmid for vm in driver.inventory()}

    def test_the_template_of_somebody_else_is_left_alone(self, command, driver):
        Guest.objects.create(vmid=9000, node="embedded", template=True, state=State.PRESENT)

        with pytest.raises(CommandError, match="does not carry autovibe's mark"):
            command("remove", "9000")

        assert driver.observe(VM("embedded", 9000)).template

    def test_what_there_is_not_is_answered_with_what_there_is(self, build, command):
        build()

        with pytest.raises(CommandError, match=r"There is no template nope; there are tiny \(\d+\)"):
            command("remove", "nope")


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    """What the embedded node takes for a cloud image, a tar archive, beside its list of digests on a web server."""
    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / "system.raw", "w") as tar:
        motd = tarfile.TarInfo("etc/motd")
        motd.size = len(MOTD)
        tar.addfile(motd, io.BytesIO(MOTD))
    digest = hashlib.sha512((served / "system.raw").read_bytes()).hexdigest()
    (served / "SHA512SUMS").write_text(f"{'0' * 128}  other.raw\n{digest}  system.raw\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield Image(f"http://127.0.0.1:{server.server_port}/system.raw", digest)
        server.shutdown()


@pytest.mark.django_db
class TestImport:
    def test_the_node_fetches_the_image_and_the_seed_is_gone_in_the_end(self, build, driver, node, image):
        said = build("--image", image.url, "--sha512", image.sha512)

        template = Guest.objects.get()
        assert (disk(node, template.vmid) / "etc/motd").read_bytes() == MOTD
        assert "Attaching the seed" in said
        assert making.SEED_DRIVE not in driver.config(template.vm)
        assert "size=10G" in driver.config(template.vm)["scsi0"]
        assert driver.volumes("embedded", "local", "iso") == []
        assert f"local:import/{making.image_name(image)}" in driver.volumes("embedded", "local", "import")

    def test_a_token_of_the_documented_rights_builds_and_removes_one(
        self, build, command, driver, node, settings, image
    ):
        settings.PROXMOX_TOKEN = _documented_token(node, driver)
        connect._local.__dict__.clear()

        said = build("--image", image.url, "--sha512", image.sha512)

        template = Guest.objects.get()
        assert connect.driver().config(template.vm)["tags"] == making.TAGS
        assert making.SEED_DRIVE not in connect.driver().config(template.vm)
        seed_volume = f"local:iso/autovibe-seed-{template.vmid}.iso"
        assert "image stays: Permission check failed (/storage/local, Datastore.Allocate)" in said
        assert f"pvesm free {seed_volume}" in said
        assert seed_volume in driver.volumes("embedded", "local", "iso")
        command("remove", str(template.vmid))
        assert template.vmid not in {vm.vmid for vm in driver.inventory()}

    def test_a_build_is_removed_with_its_seed_or_says_that_it_stays(
        self, build, command, driver, node, settings, recipes, image
    ):
        (recipes / "second.sh").write_text("exit 1\n")
        for limited in (False, True):
            with pytest.raises(CommandError):
                build("--image", image.url, "--sha512", image.sha512)
            if limited:
                settings.PROXMOX_TOKEN = _documented_token(node, driver)
                connect._local.__dict__.clear()
            vmid = Guest.objects.exclude(state=State.GONE).get().vmid

            said = command("remove", str(vmid))

            assert ("image stays" in said) is limited
            volume = f"local:iso/autovibe-seed-{vmid}.iso"
            assert (volume in driver.volumes("embedded", "local", "iso")) is limited
            assert f"Template VM {vmid} is gone." in said

    def test_an_image_that_is_there_is_not_fetched_again(self, build, image):
        again = build("--image", image.url, "--sha512", image.sha512) and build(
            "--image", image.url, "--sha512", image.sha512, "--fresh"
        )

        assert "Fetching the cloud image: done before" in again

    def test_its_digest_is_looked_up_in_the_list_beside_it(self, build, image):
        assert "is ready" in build("--image", image.url)

    def test_another_image_than_the_one_expected_is_refused(self, build, driver, image):
        with pytest.raises(CommandError, match="checksum mismatch"):
            build("--image", image.url, "--sha512", "0" * 128)

        wrong = making.image_name(Image(image.url, "0" * 128))
        assert f"local:import/{wrong}" not in driver.volumes("embedded", "local", "import")

    def test_without_a_list_the_digest_has_to_be_said(self, build, image):
        with pytest.raises(CommandError, match=r"does not list elsewhere\.raw: say with --sha512"):
            build("--image", image.url.replace("system", "elsewhere"))

    def test_an_image_that_is_none_is_the_nodes_own_sentence(self, build, image, tmp_path):
        (tmp_path / "served" / "system.raw").write_bytes(b"no archive")

        with pytest.raises(CommandError, match="imports tar archives of a guest's files only"):
            build("--image", image.url, "--sha512", hashlib.sha512(b"no archive").hexdigest())


def _documented_token(node: NodeProcess, admin: Driver) -> str:
    """A token with what the check of the cluster asks for, and docs/templates.md besides."""
    user, session = f"builder{secrets.token_hex(4)}@pve", requests.Session()
    session.headers.update(node.headers)
    url = f"{node.url}/api2/json"

    def ask(method: str, below: str, /, **data: Any) -> Any:
        answer = session.request(method, url + below, data=data)
        assert answer.ok, answer.reason
        return answer.json()["data"]

    admin.ensure_pool("autovibe")
    ask("POST", "/access/users", userid=user)
    secret = ask("POST", f"/access/users/{user}/token/ci", privsep=0)["value"]
    needs = [
        roles.on_pool("autovibe", 9),
        *(roles.on_storage(storage.name) for storage in admin.storages()),
        roles.on_bridge("vmbr0"),
        Need("/storage/local", frozenset({"Datastore.AllocateTemplate"}), "", ""),
        Need(f"/nodes/{node.name}", frozenset({"Sys.AccessNetwork"}), "", ""),
    ]
    for number, need in enumerate(needs):
        role = f"{user.partition('@')[0]}-{number}"
        ask("POST", "/access/roles", roleid=role, privs=" ".join(need.privileges))
        ask("PUT", "/access/acl", path=need.path, roles=role, users=user)
    return f"{user}!ci={secret}"


class TestSeed:
    def test_cloud_init_finds_its_files_on_a_volume_of_the_right_label(self):
        image = seed.nocloud(
            recipe.load("hub").user_data, instance="abc", hostname="hub", http_proxy="http://proxy:3128"
        )

        label, files = _read(image)
        assert label == "cidata"
        assert yaml.safe_load(files["meta-data"]) == {"instance-id": "abc", "local-hostname": "hub"}
        assert files["user-data"].startswith("#cloud-config\n")
        wanted = yaml.safe_load(files["user-data"])
        assert "qemu-guest-agent" in wanted["packages"]
        assert wanted["apt"] == {"http_proxy": "http://proxy:3128"}


def _read(image: bytes) -> tuple[str, dict[str, str]]:
    """A volume's label and its files, by their Rock Ridge names."""
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    files = {}
    for child in iso.list_children(rr_path="/"):
        if child.is_file():
            name, content = child.rock_ridge.name().decode(), io.BytesIO()
            iso.get_file_from_iso_fp(content, rr_path=f"/{name}")
            files[name] = content.getvalue().decode()
    return iso.pvd.volume_identifier.decode().strip(), files


class TestRecipe:
    @pytest.mark.parametrize("name", recipe.names())
    def test_those_that_come_with_autovibe_are_scripts_that_a_shell_can_read(self, name):
        known = recipe.load(name)

        for stage in (*known.stages, "verify", "clean"):
            subprocess.run(["/bin/sh", "-n"], input=known.script(stage, {}), text=True, check=True)

    @pytest.mark.parametrize("name", recipe.names())
    def test_they_can_be_given_to_a_guest_agent(self, name):
        """What it is given to run may hold ASCII only."""
        known = recipe.load(name)

        assert all(known.script(stage, {}).isascii() for stage in (*known.stages, "verify", "clean"))

    @pytest.mark.parametrize("name", recipe.names())
    def test_packer_reads_the_same_in_them(self, name):
        """HCL has no reader of TOML; the sources go by these lines."""
        text = (recipe.DIRECTORY / f"{name}.toml").read_text()
        values = tomllib.loads(text)

        lines = dict(re.findall(r'(?m)^([A-Z][A-Z0-9_]*) = "([^"]*)"', text))
        stages = re.findall(r'"([a-z][a-z0-9-]*)"', re.findall(r"(?m)^stages = (.*)$", text)[0])
        checks = re.findall(r'"([^"]+)"', re.findall(r"(?m)^verify = (.*)$", text)[0])
        assert (lines, stages, checks) == (values["environment"], values["stages"], values["verify"])

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (("title", "tittle"), "the key 'tittle' is not known"),
            (('name = "tiny"', 'name = "small"'), "expected 'tiny', as the file is called"),
            (('["first", "second"]', "[]"), "stages is .*; expected a list of names of scripts"),
            (('"second"', '"third"'), "the stage 'third' has no third.sh"),
            (("disk_gib = 10", "disk_gib = 0"), "disk_gib is 0; expected a number"),
        ],
    )
    def test_what_is_wrong_is_named(self, recipes, change, sentence):
        (recipes / "tiny.toml").write_text(TINY.replace(*change))

        with pytest.raises(recipe.InvalidRecipe, match=sentence):
            recipe.load("tiny", recipes)

    def test_an_unknown_one_is_answered_with_those_there_are(self):
        with pytest.raises(recipe.InvalidRecipe, match="there are aider, claude-code, hub"):
            recipe.load("robot")


class TestImage:
    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("https://example/a/debian-13.qcow2", r"autovibe-debian-13-\w{8}\.qcow2"),
            ("https://example/noble-24.04.img?x=1", r"autovibe-noble-24\.04-\w{8}\.qcow2"),
            ("https://example/tree.tar.gz", r"autovibe-tree-\w{8}\.tar\.gz"),
        ],
    )
    def test_its_file_name_has_an_ending_that_proxmox_imports(self, url, name):
        assert re.fullmatch(name, making.image_name(Image(url)))

    def test_another_digest_is_another_file(self):
        assert making.image_name(Image("u/x.raw", "a")) != making.image_name(Image("u/x.raw", "b"))
