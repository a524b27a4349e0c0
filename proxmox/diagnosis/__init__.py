"""What stands between autovibe and a cluster it could work with, and the commands that mend it.

It only reads, but for `probe`, which makes one VM and removes it. Knows no Django; where settings come from and where
reports go is its callers' business.
"""
