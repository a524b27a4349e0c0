"""Lines of descent: what is read of them comes in one query, however long they are."""

import pytest

from checkpoints.reading import lines
from checkpoints.trust import fallback
from machines.states import State
from tests.checkpoints.kept import machine_of, take


@pytest.fixture
def line(funded, genesis, alice):
    machine = machine_of(funded, genesis, alice, State.RUNNING)
    return [take(machine, {"a": str(number).encode()}) for number in range(6)]


class TestQueries:
    def test_a_line_is_one_whatever_is_asked_of_its_checkpoints_on_the_way(
        self, line, django_assert_num_queries
    ):
        with django_assert_num_queries(1):
            found = [(one.guest_id, one.shares_id, one.backup, one.proven) for one in lines.line(line[-1])]

        assert len(found) == 7

    def test_where_to_go_instead_is_found_with_as_many_for_a_long_line_as_for_a_short_one(
        self, line, django_assert_max_num_queries
    ):
        with django_assert_max_num_queries(3):
            assert fallback.chain(line[-1]) == line[-2::-1]
