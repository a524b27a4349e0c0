"""Intelligent Machines: what they are, their run, their types, and the programs inside their guests."""
