"""What secrets look like: keys, tokens, passwords, PEM blocks. Known forms only: one that looks like a word is missed.

What is done with them, others decide: recorded calls leave them out (`gateway.redaction`), and so do events.
"""

import re
from collections.abc import Iterator

REDACTED = "[redacted]"

# Each pattern begins with the word that it goes with, so that a megabyte without it is passed over at once. After the
# word it says what may not stand before it; the letter of an escape (\n) may. No run may cross a quotation mark.
_ALONE = r"(?:(?<![A-Za-z0-9_-]{0})|(?<=\\[nrt]{0})|(?<=\\u[0-9a-f][0-9a-f][0-9a-f][0-9a-f]{0}))"
_TOKENS = [
    *("sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "npm_", "pypi-", "hf_"),
    *("xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "AKIA", "ASIA", "AIza", "av_", "avm_"),
]
_NAMES = [
    *("password", "passwd", "passphrase", "secret", "token", "credential"),
    *("api_key", "api-key", "apikey", "apiKey", "access_key", "accessKey", "private_key", "privateKey"),
]
_VALUE = (
    r"s?\\{0,3}[\"']?\s{0,3}(?:=>|:=|[:=])\s{0,3}"
    r"(?:\\{0,3}[\"'](?P<quoted>[^\s\"'\\]{6,400})(?=\\{0,3}[\"'])"
    r"|(?P<plain>(?=[^\s\"'\\]{0,400}[0-9])(?=[^\s\"'\\]{0,400}[A-Za-z])[\w+/=.~-]{8,400}))"
)
_PEM = (
    r"-----BEGIN [A-Z0-9 ]{1,40}-----"
    r"(?:[^\"\\-]|-(?!----)|\\[^\"])*+(?:-----END [A-Z0-9 ]{1,40}-----)?"
)
_PATTERNS = [
    ("-----BEGIN ", re.compile(_PEM)),
    ("eyJ", re.compile("eyJ" + _ALONE.format("eyJ") + r"[\w-]{8,4000}\.[\w-]{8,4000}\.[\w-]{0,1000}")),
    ("://", re.compile(r"://[^\s/:@\"'\\]{1,100}:(?P<login>[^\s/@\"'\\]{1,200})(?=@)")),
    *((word, re.compile(word + _ALONE.format(word) + r"[\w-]{16,300}")) for word in _TOKENS),
    *(
        (word, re.compile(word + r" {1,3}(?P<header>[\w+/=.~-]{12,4000})"))
        for word in ("Bearer", "bearer", "BEARER", "Basic", "basic")
    ),
    *(
        (word, re.compile(word + _VALUE))
        for name in _NAMES
        for word in sorted({name, name.capitalize(), name.upper()})
    ),
]


def found_in(value: str) -> Iterator[tuple[int, int]]:
    """Where in a text, or in JSON as it is written, something looks like a secret. They may overlap."""
    for word, pattern in _PATTERNS:
        if word in value:
            for match in pattern.finditer(value):
                yield match.span(match.lastgroup) if match.lastgroup else match.span()
