"""Receipts: what one machine was told, asked, kept, changed and cost, as a chain of digests that is signed.

Built from the database alone, and verified without it: docs/receipts.md. The program that verifies is in the CLI.
"""
