"""JSON in and out: nothing is lost on the way, and nothing can be read in two ways."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import encoding
from gateway.errors import Refused

# With halves of surrogate pairs, as JavaScript makes them when it cuts a text.
TEXT = st.text(st.characters(codec=None, categories=None))
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


class TestDecode:
    @given(st.lists(st.integers(-(10**40), 10**40)), st.integers(0, 20))
    def test_whole_numbers_stay_whole_however_long(self, numbers: list[int], before: int) -> None:
        raw = json.dumps({"x" * before: numbers, "text": "äöü"}).encode()
        parsed, encoded = encoding.decode(raw)
        assert parsed == json.loads(encoded) == json.loads(raw)
        assert len(encoded) <= len(json.dumps(parsed, ensure_ascii=False).encode())
        assert all(type(number) is int for number in json.loads(encoded)["x" * before])

    @given(st.dictionaries(TEXT, VALUE), st.booleans())
    def test_what_is_written_is_what_was_read(self, sent: dict[str, Any], ascii_only: bool) -> None:
        raw = json.dumps(sent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        try:
            parsed, encoded = encoding.decode(raw)
        except Refused:
            assert not ascii_only  # half a pair is no UTF-8
            return
        assert parsed == sent == json.loads(encoded)
        assert encoding.encode(parsed) == encoded

    @given(TEXT)
    def test_a_text_is_never_written_shorter_than_it_is(self, text: str) -> None:
        assert len(encoding.encode(text)) >= len(text.encode("utf-8", "surrogatepass"))

    def test_of_a_key_given_twice_the_last_counts_and_is_all_that_is_sent(self) -> None:
        assert encoding.decode(b'{"n": 1, "n": 128}') == ({"n": 128}, b'{"n":128}')

    @pytest.mark.parametrize("text", ["x", "\\ud83d"])
    def test_what_is_nested_beyond_reading_is_refused(self, text: str) -> None:
        for depth in range(200, 1200, 50):
            raw = f'{{"a": {"[" * depth}"{text}"{"]" * depth}}}'.encode()
            if depth > encoding.DEPTH_MAX + 5:
                with pytest.raises(Refused, match=r"nested|depth"):
                    encoding.decode(raw)
            elif depth < encoding.DEPTH_MAX - 5:
                assert encoding.decode(raw)
