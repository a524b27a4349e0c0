"""What events keep of what they are told: no secrets, and no more of a text than anybody reads.

A second line of defence: whoever records an event leaves secrets out. What looks like one all the same ends here.
"""

from typing import Any

from events.secrets import REDACTED, found_in

# Longer texts, such as prompts, are cut: machine, log or call have them whole.
TEXT_MAX = 2000

_NAMES = {"password", "passwd", "passphrase", "secret", "credential", "api_key", "private_key", "access_key"}


def scrub(told: Any) -> Any:
    """The same without secrets, and with long texts cut at `TEXT_MAX` characters."""
    if isinstance(told, str):
        return _text(told)
    if isinstance(told, dict):
        return {
            name: REDACTED if isinstance(value, str) and str(name).lower() in _NAMES else scrub(value)
            for name, value in told.items()
        }
    if isinstance(told, list | tuple):
        return [scrub(each) for each in told]
    return told


def _text(value: str) -> str:
    # Cut last: of a secret cut in two, the first half would not be known as one.
    pieces, end = [], 0
    for start, stop in sorted(found_in(value)):
        if stop > end:
            pieces += [value[end : max(start, end)], REDACTED]
            end = stop
    whole = "".join([*pieces, value[end:]])
    return whole if len(whole) <= TEXT_MAX else f"{whole[: TEXT_MAX - 1]}…"
