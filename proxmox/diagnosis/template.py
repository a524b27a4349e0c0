"""Whether the template is there, is one, and lets a guest agent in."""

from collections.abc import Iterator

from proxmox.diagnosis.case import Case
from proxmox.diagnosis.findings import Finding, listed, missing, ok


def template(case: Case) -> Iterator[Finding]:
    vmid = case.setup.template
    title, found = f"Template {vmid}", case.template
    if found is None:
        seen = sorted(vm.vmid for vm in case.inventory.values() if vm.template)
        yield missing(
            title,
            "The token sees no VM with this number: it is not there, or VM.Audit on it is missing. "
            + (
                f"Templates that it sees: {listed(map(str, seen))}."
                if seen
                else "It sees no template at all."
            ),
            "manage.py template build claude-code",
            f"PROXMOX_TEMPLATE={seen[0] if seen else '<its VMID>'}",
        )
    elif not found.template:
        yield missing(
            title,
            f"The VM is on {found.node}, but it is not a template.",
            f"qm shutdown {vmid} && qm template {vmid}",
        )
    else:
        yield ok(title, f"It is on {found.node}{f', called {found.name}' if found.name else ''}.")
        yield _agent(case, vmid)


def _agent(case: Case, vmid: int) -> Finding:
    options = case.template_config.get("agent", "0").split(",")
    if {"1", "enabled=1"} & set(options):
        return ok(
            "Guest agent",
            "It is switched on in the template; `manage.py proxmox check --probe` shows whether it answers.",
        )
    return missing(
        "Guest agent",
        "It is switched off in the template: nothing could be done inside its clones.",
        f"qm set {vmid} --agent enabled=1",
    )
