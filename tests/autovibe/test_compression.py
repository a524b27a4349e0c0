"""Pages that are sent compressed, and what is not."""

import gzip

import pytest
from django.test import Client

ASKING = {"Accept-Encoding": "gzip, br"}


@pytest.mark.django_db
class TestPages:
    def test_a_page_is_compressed_for_who_takes_it(self) -> None:
        answer = Client().get("/sign-in/", headers=ASKING)

        assert answer["Content-Encoding"] == "gzip"
        assert b"<h1>" in gzip.decompress(answer.content)

    def test_nobody_else_gets_it_so(self) -> None:
        answer = Client().get("/sign-in/")

        assert "Content-Encoding" not in answer
        assert "Accept-Encoding" in answer["Vary"]

    def test_the_same_page_has_another_length_each_time(self) -> None:
        """A guess in it cannot be told right or wrong by how long it gets."""
        lengths = {len(Client().get("/sign-in/closed/", headers=ASKING).content) for _ in range(10)}

        assert len(lengths) > 1

    def test_an_answer_of_the_api_is_not(self) -> None:
        assert "Content-Encoding" not in Client().get("/api/schema/", headers=ASKING)
