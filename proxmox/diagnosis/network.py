"""Whether guests can be fenced in, and whether they can reach the gateway."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import requests

from proxmox import errors
from proxmox.diagnosis.case import Case
from proxmox.diagnosis.connection import is_loopback
from proxmox.diagnosis.findings import Finding, missing, ok, unknown, warning
from proxmox.driver import VM

GATEWAY_SECONDS = 5
_NEEDS = "the network profile `sealed` cannot be enforced"
_OFF = warning(
    "Firewall",
    f"It is off for the whole data centre, so {_NEEDS}. Switching it on closes the nodes to everything but the "
    "local network's ssh and port 8006: allow what else you need before.",
    "pvesh create /cluster/firewall/rules --type in --action ACCEPT --macro SSH --enable 1",
    "pvesh create /cluster/firewall/rules --type in --action ACCEPT --proto tcp --dport 8006 --enable 1",
    "pvesh set /cluster/firewall/options --enable 1",
)


def firewall(case: Case) -> Iterator[Finding]:
    """The two switches above those of each VM, as the template's node has them."""
    found = case.template
    if found is None:
        return
    try:
        switches = case.driver.firewall(VM(found.node, found.vmid))
    except errors.Refused as error:
        yield unknown("Firewall", f"The token may not read its switches, so {_NEEDS}: {error}")
        return
    if not switches.cluster:
        yield _embedded_off(case) if case.embedded else _OFF
    elif not switches.node:
        yield warning(
            "Firewall",
            f"It is off on {found.node}, so {_NEEDS} there.",
            f"pvesh set /nodes/{found.node}/firewall/options --enable 1",
        )
    else:
        yield ok("Firewall", f"It is on for the data centre and on {found.node}: `sealed` can be enforced.")


def _embedded_off(case: Case) -> Finding:
    """The embedded node has no shell, and its switch concerns its guests only."""
    return warning(
        "Firewall",
        f"It is off, so {_NEEDS}. The token is in the node's directory.",
        'curl -X PUT -d enable=1 -H "Authorization: PVEAPIToken=$(cat var/node/token)" '
        f"{case.endpoints[0].url}/api2/json/cluster/firewall/options",
    )


def gateway(case: Case) -> Iterator[Finding]:
    """The address that guests are told, and whether it answers from here."""
    url = case.setup.gateway_url
    if is_loopback(url) and not case.embedded:
        yield missing(
            "Gateway",
            f"Guests are told {url}, which inside a VM is the VM itself.",
            f"AUTOVIBE_GATEWAY_URL=http://<address of this computer>:{urlsplit(url).port or 8000}",
        )
        return
    try:
        answer = requests.get(f"{url.rstrip('/')}/healthz", timeout=GATEWAY_SECONDS)
    except requests.RequestException:
        yield warning(
            "Gateway",
            f"{url} does not answer from here. Is the web process running?",
            f"curl -i {url}/healthz",
        )
        return
    # 503 says that some other part is not well; the gateway is in the web process, which answered.
    if answer.status_code in {200, 503}:
        yield ok(
            "Gateway", f"{url} answers from here; `manage.py proxmox check --probe` asks from inside a guest."
        )
    else:
        yield warning(
            "Gateway",
            f"{url} answers {answer.status_code} from here: something else is at that address.",
            f"curl -i {url}/healthz",
        )
