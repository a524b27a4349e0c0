"""The program the offline model knows: FizzBuzz, its tests, and a first draft with a mistake in it."""

import re
from dataclasses import dataclass

FILE, TEST_FILE = "fizzbuzz.py", "test_fizzbuzz.py"

_HEAD = '''"""FizzBuzz, from the script of autovibe's offline model."""

FIZZ = {fizz}
BUZZ = {buzz}


def fizzbuzz(n: int) -> str:
    """What to say for the number n."""
'''
_DRAFT = """    if n % FIZZ == 0:
        return "Fizz"
    if n % BUZZ == 0:
        return "Buzz"
    if n % FIZZ == 0 and n % BUZZ == 0:
        return "FizzBuzz"
    return str(n)
"""
_BODY = """    said = ("Fizz" if n % FIZZ == 0 else "") + ("Buzz" if n % BUZZ == 0 else "")
    return said or str(n)
"""
_TAIL = """

if __name__ == "__main__":
    for number in range(1, 101):
        print(fizzbuzz(number))
"""
_TESTS = '''"""What fizzbuzz is to say."""

import unittest

from fizzbuzz import fizzbuzz


class TestFizzBuzz(unittest.TestCase):
{cases}

if __name__ == "__main__":
    unittest.main()
'''
_CASE = """    def test_{number}_is_{name}(self) -> None:
        self.assertEqual(fizzbuzz({number}), "{said}")

"""


@dataclass(frozen=True)
class Rule:
    """Which multiples are fizz, and which buzz."""

    fizz: int = 3
    buzz: int = 5

    def say(self, n: int) -> str:
        return "Fizz" * (n % self.fizz == 0) + "Buzz" * (n % self.buzz == 0) or str(n)


def draft(rule: Rule) -> str:
    """The program with a mistake that its tests find: the case of both numbers is never reached."""
    return _HEAD.format(fizz=rule.fizz, buzz=rule.buzz) + _DRAFT + _TAIL


def program(rule: Rule) -> str:
    return _HEAD.format(fizz=rule.fizz, buzz=rule.buzz) + _BODY + _TAIL


def tests(rule: Rule) -> str:
    numbers = sorted({1, 2, rule.fizz, rule.buzz, rule.fizz * rule.buzz})
    said = {number: rule.say(number) for number in numbers}
    cases = [
        _CASE.format(number=number, name="itself" if word.isdigit() else word.lower(), said=word)
        for number, word in said.items()
    ]
    return _TESTS.format(cases="".join(cases).rstrip() + "\n")


def numbers_in(prompt: str) -> dict[str, int]:
    """The numbers a prompt asks for ("buzz at 7"), by what they are for; 0 divides nothing and is left out."""
    found = re.findall(r"\b(fizz|buzz)\b\D{0,24}?\b(\d{1,4})\b", prompt.lower())
    return {word: int(number) for word, number in found if int(number)}


def rule_in(text: str) -> Rule | None:
    """The rule of a program we wrote, from its text; None when it is not one."""
    found = {word.lower(): int(number) for word, number in re.findall(r"\b(FIZZ|BUZZ) = (\d+)\b", text)}
    return Rule(**found) if len(found) == 2 else None
