"""Whether one part of autovibe is alive, as the web process sees it: `healthcheck.py web|worker|hub|node`."""

import json
import sys
import urllib.error
import urllib.request

HEALTHZ = (
    "http://127.0.0.1:8000/healthz",
    "http://web:8000/healthz",
)  # in the web container, and in the others


def parts(url: str) -> dict[str, str]:
    """What `/healthz` answers; with status 503, too. Raises OSError when nobody answers."""
    request = urllib.request.Request(url, headers={"Host": "localhost"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))


def main(part: str) -> str | int:
    for url in HEALTHZ:
        try:
            said = parts(url)
        except (OSError, ValueError):
            continue
        return 0 if said.get(part) == "ok" else f"{part}: {said.get(part, 'unknown')}"
    return "The web process does not answer."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
