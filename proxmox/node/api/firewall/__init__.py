"""Firewall objects: options of data centre, node and VM; a VM's rules, ip sets and aliases.

Rules and sets of the data centre and the node itself, and security groups, are not offered: nothing here uses them.
"""
