"""The embedded node: a small HTTP server that speaks enough of the Proxmox VE API to run autovibe on one machine.

A guest is a directory with real files and a tree of real processes; snapshots, clones and backups really copy.
It is one machine and no security boundary: past that, Proxmox VE is the engine. Nothing here knows Django.
"""
