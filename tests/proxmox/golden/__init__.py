"""Recorded exchanges with a real Proxmox VE, and their replay against the embedded node.

`8.4.jsonl.gz` and `9.2.jsonl.gz` are the recordings, distilled by `distil` to what a comparison needs; `replay` plays
them, `shapes` compares bodies, `deviations` lists what is known to differ, and `report` writes the table for people.
"""
