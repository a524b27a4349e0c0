"""The node's one page for people: what this is, and what it is not."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxmox.node.host import Host

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>autovibe: embedded node</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}</style>
<h1>autovibe's embedded node</h1>
<p>This is <b>{name}</b>, a small server that speaks the Proxmox VE API under <code>/api2/json</code>, so that
autovibe can run on one computer. It is not Proxmox VE.</p>
<p>A guest here is a directory with real files and a tree of real processes, {isolation}. Snapshots, clones and
backups really copy. It behaves like a <b>{storage}</b> storage.</p>
<p><b>It is one machine and no security boundary:</b> guests share this computer's kernel and network. Run only
agents here that you would run on this computer yourself. For anything else, give autovibe a Proxmox VE.</p>
<p>{guests} guests, {running} of them on.</p>
</html>
"""


def html(host: "Host") -> str:
    """The page."""
    isolation = (
        "each in a bubblewrap sandbox with its own files and processes"
        if host.sandbox.active
        else "running as plain processes of this computer, because bubblewrap is not used or does not work here"
    )
    return _PAGE.format(
        name=escape(host.name),
        isolation=isolation,
        storage=escape(host.storages.default.plugin),
        guests=len(host.configs.all()),
        running=len(host.guests.running()),
    )
