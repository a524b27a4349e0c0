"""Fifty clones of one template, started, on a node whose storage locks as a real one's: ours beside Ansible's.

    .venv/bin/python -m benchmarks.provision [--machines 50] [--alloc-seconds 0.3] [--forks 10]

The baseline is what people use today: `community.proxmox.proxmox_kvm`, cloned and started by Ansible, on a node of its
own with the same options. Ansible is installed into `var/ansible` at the first run.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trustme

from benchmarks.stack import stack
from tests.node_process import TOKEN, start_node

ROOT = Path(__file__).resolve().parent.parent
ANSIBLE = ROOT / "var/ansible"
PLAYBOOK = """
- hosts: all
  gather_facts: false
  strategy: free
  module_defaults:
    community.proxmox.proxmox_kvm:
      api_host: 127.0.0.1
      api_port: {port}
      api_user: {user}
      api_token_id: {name}
      api_token_secret: {secret}
      validate_certs: false
      node: embedded
      timeout: 300
  tasks:
    - community.proxmox.proxmox_kvm:
        clone: autovibe-base
        name: "{{{{ inventory_hostname }}}}"
        full: false
    - community.proxmox.proxmox_kvm:
        name: "{{{{ inventory_hostname }}}}"
        state: started
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--machines", type=int, default=50)
    parser.add_argument("--alloc-seconds", type=float, default=0.3, help="how long one disk takes to make")
    parser.add_argument("--forks", type=int, default=10, help="how many hosts Ansible works on at once")
    asked = parser.parse_args()
    ours = _ours(asked.machines, asked.alloc_seconds)
    theirs = _ansible(asked.machines, asked.alloc_seconds, asked.forks)
    _report(ours, theirs)


def _ours(count: int, alloc_seconds: float) -> dict[str, float]:
    """Machines that do nothing: cloned, sized, started, with an agent in them, and ended."""
    with stack(node=("--alloc-seconds", str(alloc_seconds))) as running:
        before = _requests(running.home / "node")
        began = time.monotonic()
        handles = [running.spawn("true", "shell") for _ in range(count)]
        cloned = [_await_clone(running, handle) for handle in handles]
        seconds = time.monotonic() - began
        ends = [running.await_state(handle, "terminated", seconds=1800) for handle in handles]
        return {
            "succeeded": sum(
                bool(one) and end["exit_code"] == 0 for one, end in zip(cloned, ends, strict=True)
            ),
            "makespan_seconds": seconds,
            "whole_lives_seconds": time.monotonic() - began,
            "node_requests": _requests(running.home / "node") - before,
        }


def _await_clone(running: Any, handle: str) -> bool:
    """Until the VM is made and started; what its agent does then is no part of the comparison."""
    machine = running.await_state(handle, "running", "stopping", "terminated", seconds=1800)
    return machine["state"] != "failed"


def _ansible(count: int, alloc_seconds: float, forks: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="autovibe-benchmark-") as name:
        home = Path(name)
        options = {"alloc_seconds": alloc_seconds, "lock_seconds": 10, **_certificate(home)}
        with start_node(home / "node", **options) as node:
            playbook, inventory = home / "play.yml", home / "hosts"
            playbook.write_text(PLAYBOOK.format(port=node.url.rpartition(":")[2], **_token()))
            hosts = (f"vm{number} ansible_connection=local" for number in range(1, count + 1))
            inventory.write_text("\n".join(hosts))
            before, began = _requests(node.state), time.monotonic()
            recap = _play(playbook, inventory, forks)
            return {
                "succeeded": len(re.findall(r"failed=0\b", recap)),
                "makespan_seconds": time.monotonic() - began,
                "node_requests": _requests(node.state) - before,
            }


def _play(playbook: Path, inventory: Path, forks: int) -> str:
    if not (ANSIBLE / "bin/ansible-playbook").exists():
        subprocess.run([sys.executable, "-m", "venv", str(ANSIBLE)], check=True)
        packages = ["ansible", "proxmoxer", "requests"]
        subprocess.run([str(ANSIBLE / "bin/pip"), "install", "--quiet", *packages], check=True)
    command = [ANSIBLE / "bin/ansible-playbook", "-i", inventory, "--forks", str(forks), playbook]
    environment = {
        **os.environ,
        "ANSIBLE_PYTHON_INTERPRETER": str(ANSIBLE / "bin/python"),
        "ANSIBLE_NOCOLOR": "1",
    }
    # It exits with 2 when a host failed; the recap says which.
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    recap = done.stdout.partition("PLAY RECAP")[2]
    for sentence in sorted(set(re.findall(r'"msg": "([^"]*)"', done.stdout)))[:5]:
        print(f"Ansible: {sentence}")
    assert recap, done.stderr
    return recap


def _certificate(home: Path) -> dict[str, str]:
    """proxmoxer speaks https only."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(home / "key.pem")
    issued.cert_chain_pems[0].write_to_path(home / "cert.pem")
    return {"tls_cert": str(home / "cert.pem"), "tls_key": str(home / "key.pem")}


def _token() -> dict[str, str]:
    identity, _, secret = TOKEN.partition("=")
    user, _, name = identity.partition("!")
    return {"user": user, "name": name, "secret": secret}


def _requests(state: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in state.glob("access.log*"))


def _report(ours: dict[str, float], theirs: dict[str, float]) -> None:
    print(f"{'':28}{'autovibe':>12}{'Ansible':>12}")
    for name in ours:
        other = f"{theirs[name]:>12.1f}" if name in theirs else f"{'–':>12}"
        print(f"{name.replace('_', ' '):28}{ours[name]:>12.1f}{other}")
    ratio = theirs["makespan_seconds"] / ours["makespan_seconds"]
    print(json.dumps({"autovibe": ours, "ansible": theirs, "makespan_ratio": ratio}))


if __name__ == "__main__":
    main()
