"""Consoles: a ticket for the VM's serial line, and where its WebSocket is."""

from urllib.parse import urlencode

from proxmox.driver import VM, Console
from proxmox.pve.http import Part
from proxmox.pve.ownership import path_of, prove_ours


class Consoles(Part):
    def console(self, vm: VM) -> Console:
        prove_ours(self._http, vm)
        ticket = self._http.change("post", f"{path_of(vm)}/termproxy", serial="serial0")
        query = urlencode({"port": ticket["port"], "vncticket": ticket["ticket"]})
        # Neither call is proxied by node: the WebSocket has to reach the endpoint that gave the ticket.
        endpoint = self._http.endpoint
        return Console(
            url=f"{endpoint.url.replace('http', 'ws', 1)}/api2/json/{path_of(vm)}/vncwebsocket?{query}",
            headers={"Authorization": self._http.authorization},
            greeting=f"{ticket['user']}:{ticket['ticket']}\n",
            verify_tls=endpoint.verify_tls,
            fingerprint=endpoint.fingerprint,
        )
