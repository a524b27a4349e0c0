"""What people ask for in scenes, and what agents print and write there."""

FIZZBUZZ = {
    "fizzbuzz.py": 'def fizzbuzz(n: int) -> str:\n    """Fizz for threes, Buzz for fives."""\n    words = ""\n'
    '    if n % 3 == 0:\n        words += "Fizz"\n    if n % 5 == 0:\n        words += "Buzz"\n'
    "    return words or str(n)\n",
    "test_fizzbuzz.py": "from fizzbuzz import fizzbuzz\n\n\ndef test_fifteen():\n"
    '    assert fizzbuzz(15) == "FizzBuzz"\n',
    "README.md": "# Fizzbuzz\n\nCounts, and says Fizz and Buzz where it should.\n",
}
MORE = {"bang.py": 'def bang(n: int) -> str:\n    return "Bang" if n % 7 == 0 else str(n)\n'}

PROMPTS = (
    "Write a fizzbuzz with tests and make them pass",
    "Upgrade Django to the next long-term release and mend what breaks",
    "Find out why the nightly import takes four hours, and bring it below one",
    "Translate the handbook's chapter on backups into German",
    "Replace the hand-written retry loops by one helper, with tests",
    "Read the last 200 support mails and list the ten most frequent questions",
    "Write the release notes of 4.2 from the merged branches",
    "Make the search page readable at 360 px",
    "Add an index for the slow query in the invoice list and prove that it is used",
    "Check every link in docs/ and mend the dead ones",
    "Port the payment adapter to the provider's new API, keeping the old one behind a flag",
    "Write property tests for the tax rounding rules",
)

LINES = (
    ("out", "Reading the repository: 214 files, 18,402 lines."),
    ("out", "I will start with the tests, then change one module at a time."),
    ("out", "$ pytest -q"),
    ("out", "................................................................. [ 61%]"),
    ("out", "..........................................                        [100%]"),
    ("out", "107 passed in 4.31s"),
    ("out", "Editing src/retry.py"),
    ("out", "+def retried(times: int, wait: float) -> Callable[[F], F]:"),
    ("out", "$ ruff check ."),
    ("out", "All checks passed!"),
    ("err", "DeprecationWarning: datetime.utcnow() is deprecated; use timezone-aware objects."),
    ("out", "Two call sites are left: src/mail.py:81 and src/jobs/import_orders.py:140."),
    ("out", "$ git diff --stat"),
    ("out", " src/retry.py            | 38 ++++++++++++++++++++++++++++++++++++++"),
    ("out", " src/jobs/import_orders.py | 52 ++++++++++---------------------------"),
    ("out", " 2 files changed, 51 insertions(+), 39 deletions(-)"),
)
FAILING = (
    ("out", "$ npm ci"),
    ("err", "npm error code ENOSPC"),
    ("err", "npm error syscall write"),
    ("err", "npm error errno -28"),
    ("err", "npm error nospc There appears to be insufficient space on your system to finish."),
    ("sys", "The agent ended with exit code 28."),
)
