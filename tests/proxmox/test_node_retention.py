"""Retention, as a calculation: which of many backups stay."""

import time

import pytest

from proxmox.node import retention
from proxmox.node.errors import BadParameters

DAY = 86_400
NOON = time.mktime((2026, 11, 22, 12, 0, 0, 0, 0, -1))


def kept(keep: str, *ages: float) -> list[float]:
    """The ages in days of the backups that stay."""
    marks = retention.marked([NOON - age * DAY for age in ages], retention.parse(keep))
    return [age for age, stays in zip(ages, marks, strict=True) if stays]


class TestMarks:
    def test_the_newest_stay_whatever_order_they_come_in(self) -> None:
        assert kept("keep-last=2", 3, 0, 2, 1) == [0, 1]

    def test_one_a_day_stays_and_it_is_the_newest(self) -> None:
        assert kept("keep-daily=2", 0, 0.1, 0.2, 1, 1.1, 2) == [0, 1]

    def test_a_day_that_already_has_one_does_not_count_again(self) -> None:
        assert kept("keep-last=1,keep-daily=2", 0, 0.1, 1, 2, 3) == [0, 1, 2]

    def test_hours_weeks_months_and_years_are_told_apart(self) -> None:
        hours = (0, 0.01, 0.05, 0.1)
        assert kept("keep-hourly=2", *hours) == [0, 0.01]
        assert kept("keep-weekly=2", 0, 1, 5.9, 7.1, 14.1) == [0, 7.1]
        assert kept("keep-monthly=2", 0, 10, 40, 41, 80) == [0, 40]
        assert kept("keep-yearly=2", 0, 100, 400, 800) == [0, 400]

    def test_nothing_is_removed_without_a_number(self) -> None:
        assert kept("", 0, 1, 2) == kept("keep-last=0", 0, 1, 2) == kept("keep-all=1", 0, 1, 2) == [0, 1, 2]


class TestParse:
    def test_the_limit_is_what_all_numbers_make_together(self) -> None:
        assert retention.limit(retention.parse("keep-last=3,keep-daily=7")) == 10
        assert retention.limit(retention.parse("keep-all=1")) == 0

    @pytest.mark.parametrize("text", ["keep-last", "keep-last=x", "keep-all=1,keep-daily=1", "last=3"])
    def test_what_makes_no_sense_is_refused(self, text: str) -> None:
        with pytest.raises(BadParameters):
            retention.parse(text)
