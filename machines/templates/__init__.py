"""Templates: what `manage.py template` builds on the cluster, and how, step by step. Nothing here is asked by pages.

`recipe` is what goes into one, `order` what was asked for, `place` where it is built, `build` how steps are taken.
The steps are in `making` (the VM), `inside` (its guest) and `registry` (what the control plane knows of it).
"""
