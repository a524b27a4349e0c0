"""How an amount is divided by weight: exactly, within bounds, and never less for whoever wants more."""

from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from budgets.shares import Claim, divide

weights = st.integers(0, 200).map(lambda hundredths: Fraction(hundredths, 100))
amounts = st.integers(0, 10**9)
percents = st.tuples(st.integers(0, 100), st.integers(1, 100)).map(
    lambda pair: (Fraction(min(pair), 100), Fraction(max(pair), 100))
)


def claims(*weights: Fraction | int | str, used: tuple[int, ...] = ()) -> list[Claim]:
    padded = [*used, *[0] * len(weights)]
    return [
        Claim(UUID(int=number), Fraction(weight), padded[number]) for number, weight in enumerate(weights)
    ]


def amounts_of(
    amount: int, made: list[Claim], least: Fraction | int = 0, most: Fraction | int = 1
) -> list[int]:
    shares = divide(amount, made, least=Fraction(least), most=Fraction(most))
    return [shares[claim.key].amount for claim in made]


class TestDivide:
    def test_it_goes_by_weight_to_the_last_micro_unit(self) -> None:
        assert amounts_of(100, claims(1, 1, 1)) == [34, 33, 33]
        assert amounts_of(1000, claims("0.7", "0.3", 0)) == [700, 300, 0]

    def test_what_one_may_not_have_goes_to_the_others(self) -> None:
        assert amounts_of(100, claims(8, 1, 1), most=Fraction(1, 2)) == [50, 25, 25]
        assert amounts_of(100, claims(18, 1, 1), least=Fraction(1, 5)) == [60, 20, 20]

    def test_bounds_that_cannot_hold_for_all_come_down_to_equal_parts(self) -> None:
        assert amounts_of(90, claims(9, 1, 1), least=Fraction(1, 2)) == [30, 30, 30]
        assert amounts_of(90, claims(9, 1, 1), most=Fraction(1, 10)) == [30, 30, 30]

    def test_what_is_used_is_never_taken_away(self) -> None:
        assert amounts_of(100, claims(1, 1, 0, used=(80, 0, 5))) == [80, 15, 5]
        assert amounts_of(100, claims(1, 1, used=(80, 70))) == [80, 70]

    def test_it_says_whose_part_is_not_just_their_weight_s(self) -> None:
        made = claims(30, 1, 1, Fraction(1, 10), used=(0, 20))
        shares = divide(100, made, least=Fraction(1, 20), most=Fraction(13, 20))
        assert [(shares[claim.key].amount, shares[claim.key].bound) for claim in made] == [
            (65, "most"),
            (20, "used"),
            (10, ""),
            (5, "least"),
        ]

    @given(amounts, st.lists(weights, min_size=1, max_size=8), percents)
    def test_the_parts_are_the_whole_within_their_bounds(
        self, amount: int, given: list[Fraction], bounds: tuple[Fraction, Fraction]
    ) -> None:
        parts = amounts_of(amount, claims(*given), *bounds)
        wanting = [part for part, weight in zip(parts, given, strict=True) if weight]
        assert sum(parts) == (amount if wanting else 0)
        assert not any(part for part, weight in zip(parts, given, strict=True) if not weight)
        for part in wanting:
            assert part >= min(int(bounds[0] * amount), amount // len(wanting))
            assert part <= max(-int(-bounds[1] * amount // 1), -(-amount // len(wanting)))

    @given(amounts, st.lists(weights, min_size=2, max_size=8), percents, weights, st.data())
    def test_whoever_wants_more_gets_no_less(
        self,
        amount: int,
        given: list[Fraction],
        bounds: tuple[Fraction, Fraction],
        more: Fraction,
        data: st.DataObject,
    ) -> None:
        used = tuple(data.draw(st.lists(st.integers(0, amount // 4), max_size=len(given))))
        before = amounts_of(amount, claims(*given, used=used), *bounds)
        after = amounts_of(amount, claims(given[0] + more, *given[1:], used=used), *bounds)
        assert after[0] >= before[0]

    @given(amounts, st.lists(st.tuples(weights, st.integers(0, 10**9)), min_size=1, max_size=8), percents)
    def test_nobody_gets_less_than_they_have_and_no_more_is_out_than_must_be(
        self, amount: int, given: list[tuple[Fraction, int]], bounds: tuple[Fraction, Fraction]
    ) -> None:
        made = claims(*(weight for weight, _ in given), used=tuple(used for _, used in given))
        parts = amounts_of(amount, made, *bounds)
        assert all(part >= claim.used for part, claim in zip(parts, made, strict=True))
        assert sum(parts) <= max(amount, sum(claim.used for claim in made))
