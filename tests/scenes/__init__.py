"""Scenes: databases to look at, each built from nothing through the domain's own actions, the same every time.

`python -m tests.scenes typical` serves one on a web process alone. Nothing here is a test.
"""
