"""How alike prompts are: hashed words and letter triples, the rare ones counting more. Plain functions; no models.

Of each prompt a sketch is kept: the features with the smallest hashes. Two sketches leave out the same features, so
what they share says how much the prompts share, however long they are (Broder, 1997: min-wise sampling).
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from zlib import crc32

FEATURES_MAX = 64
CHARACTERS_MAX = 4_000  # what is to be done is said first; what follows is often a file
_WORD = re.compile(r"\w+")
_SPREAD, _MASK = 2_654_435_761, 0xFFFFFFFF  # crc32 alone puts like words side by side (Knuth's multiplier)


def sketch(prompt: str) -> bytes:
    """The prompt's features, to be kept beside it: at most 64 numbers of four bytes."""
    features: set[str] = set()
    for word in _WORD.findall(prompt[:CHARACTERS_MAX].casefold()):
        padded = f" {word[:40]} "
        features.add(padded)
        features.update(padded[at : at + 3] for at in range(len(padded) - 2))
    hashes = sorted(crc32(one.encode(errors="replace")) * _SPREAD & _MASK for one in features)
    return array("I", hashes[:FEATURES_MAX]).tobytes()


def similarities(prompt: bytes, others: Sequence[bytes]) -> list[float]:
    """Of each other sketch, how like the prompt's it is: 0 for nothing in common, 1 for the same."""
    mine = set(_read(prompt))
    theirs = [_read(other) for other in others]
    shared = [mine.intersection(features) for features in theirs]
    seen = Counter(chain.from_iterable(shared))
    weight = {feature: math.log((1 + len(others)) / (0.5 + seen[feature])) for feature in mine}
    whole, per_feature = sum(weight.values()), sum(weight.values()) / (len(weight) or 1)
    return [
        sum(map(weight.__getitem__, common)) / math.sqrt(whole * per_feature * len(features))
        if common
        else 0.0
        for common, features in zip(shared, theirs, strict=True)
    ]


def _read(kept: bytes) -> Sequence[int]:
    return memoryview(kept).cast("I")
