"""The APIs that agents speak. A dialect reads requests, bounds what they may cost, meters answers and words refusals.

How a call is paid for, sent and answered is the same in all of them, and is elsewhere in `gateway`.
"""
