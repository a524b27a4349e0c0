"""When checkpoints are taken: what may be said of it, how departures are laid over one another, what is due."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.models import Checkpoint
from checkpoints.triggers import risks
from checkpoints.triggers.due import Last, Used, due
from checkpoints.triggers.policy import EVERY_CALL, NONE, InvalidPolicy, Policy, checked, merged, parse

Trigger = Checkpoint.Trigger
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

values = st.fixed_dictionaries(
    {},
    optional={
        "calls": st.integers(0, 50),
        "minutes": st.integers(0, 600),
        "percent": st.integers(0, 100),
        "before": st.lists(st.sampled_from(["usual", "rm", r"\bdeploy\b"]), max_size=3),
        "after_files": st.booleans(),
        "timing": st.sampled_from(["overlap", "after_response"]),
        "skip": st.booleans(),
        "durable": st.sampled_from(["none", "final", "milestone", 5]),
        "ram": st.booleans(),
    },
)


class TestParsing:
    def test_the_short_forms(self) -> None:
        assert parse("every_call") == Policy() == EVERY_CALL
        assert parse("none") == NONE
        assert not NONE.takes_any

    @given(values)
    def test_a_table_departs_from_every_call_in_what_it_says_and_nothing_else(
        self, said: dict[str, Any]
    ) -> None:
        assert parse(said).values == EVERY_CALL.values | said

    @given(values)
    def test_what_is_written_is_what_was_read(self, said: dict[str, Any]) -> None:
        policy = parse(said)
        assert parse(policy.values) == policy

    @pytest.mark.parametrize(
        ("said", "complaint"),
        [
            ("sometimes", "'sometimes' is no policy; expected every_call or none, or a table."),
            ({"cals": 5}, "The key 'cals' is not known; known are calls, minutes, percent, before"),
            ({"calls": -1}, "calls is -1; expected a whole number of calls"),
            ({"calls": True}, "calls is True; expected a whole number"),
            ({"percent": 101}, "percent is 101; expected a whole number of per cent up to 100"),
            ({"timing": "later"}, "timing is 'later'; expected overlap or after_response"),
            ({"durable": 0}, "durable is 0; expected none, final, milestone, or a whole number"),
            ({"before": "rm"}, "before is 'rm'; expected a list"),
            ({"before": ["("]}, "before: '(' is neither one of usual, cloud-delete, rm"),
            ({"before": [r"(a)\1"]}, "nor a regular expression of RE2: invalid escape sequence"),
            ({"before": ["x" * 301]}, "before: A pattern has at most 300 characters."),
        ],
    )
    def test_a_mistake_is_named(self, said: object, complaint: str) -> None:
        with pytest.raises(InvalidPolicy) as raised:
            parse(said)
        assert complaint in str(raised.value)

    @pytest.mark.parametrize(
        ("said", "summary"),
        [
            ("every_call", "every call"),
            ("none", "none"),
            ({"calls": 5, "minutes": 1}, "every 5 calls, every minute, before risky tools"),
            (
                {"calls": 0, "percent": 10, "after_files": True, "before": []},
                "every 10 % of a budget, after file operations",
            ),
        ],
    )  # fmt: skip
    def test_it_says_in_words_what_it_is(self, said: object, summary: str) -> None:
        assert parse(said).summary == summary


class TestMerging:
    @given(values, values)
    def test_the_later_departure_holds_key_by_key(
        self, project: dict[str, Any], machine: dict[str, Any]
    ) -> None:
        assert merged(EVERY_CALL, project, machine).values == EVERY_CALL.values | project | machine

    def test_a_short_form_stands_for_all_of_its_keys(self) -> None:
        assert merged(parse({"minutes": 5}), checked("none")) == NONE


class TestDue:
    def test_every_call_is_due_at_every_call(self) -> None:
        for number, why in [(1, "Before the first call"), (2, "After answer 1"), (9, "After answer 8")]:
            assert due(EVERY_CALL, number, NOW, last=None, used={}) == (Trigger.CALL, why)

    @given(st.integers(1, 20), st.integers(1, 60))
    def test_every_so_many_calls(self, every: int, calls: int) -> None:
        policy, last, taken = Policy(calls=every), None, []
        for number in range(1, calls + 1):
            if due(policy, number, NOW, last=last, used={}):
                taken.append(number)
                last = Last(number, NOW, {})
        assert taken == list(range(1, calls + 1, every))

    @pytest.mark.parametrize(("minutes", "is_due"), [(9, False), (10, True), (11, True)])
    def test_every_so_many_minutes(self, minutes: int, is_due: bool) -> None:
        last = Last(3, NOW - timedelta(minutes=minutes), {})
        found = due(Policy(calls=0, minutes=10), 4, NOW, last=last, used={})
        assert found == ((Trigger.MINUTES, "10 minutes after the last") if is_due else None)

    @pytest.mark.parametrize(
        ("before", "now", "is_due"), [(20, 29, False), (20, 30, True), (None, 10, True), (90, 5, False), (90, 12, True)]
    )  # fmt: skip
    def test_every_so_many_per_cent_of_a_budget_and_a_new_period_begins_at_nothing(
        self, before: int | None, now: int, is_due: bool
    ) -> None:
        last = Last(3, NOW, {} if before is None else {"7": before})
        found = due(
            Policy(calls=0, percent=10), 4, NOW, last=last, used={"7": Used(now, "Machine m1: money")}
        )
        assert found == ((Trigger.BUDGET, f"{now} % of a budget used: Machine m1: money") if is_due else None)

    def test_after_file_operations(self) -> None:
        policy = Policy(calls=0, after_files=True)
        assert due(policy, 4, NOW, last=None, used={}, wrote="") is None
        assert due(policy, 4, NOW, last=None, used={}, wrote="Write a.py") == (
            Trigger.FILES,
            "After Write a.py",
        )

    @given(values, st.integers(1, 100))
    def test_a_policy_by_nothing_has_none_due(self, said: dict[str, Any], number: int) -> None:
        policy = merged(parse(said), {"calls": 0, "minutes": 0, "percent": 0, "after_files": False})
        assert not policy.by_calls
        assert due(policy, number, NOW, last=None, used={"1": Used(100, "x")}, wrote="Write a.py") is None


class TestRisks:
    @pytest.mark.parametrize(
        ("command", "pattern"),
        [
            ("rm -rf build", "rm"),
            ("cd /tmp && sudo rm -v -r -- *", "rm"),
            ("rm --recursive x", "rm"),
            ("rm foo -rf", "rm"),
            ("rm \\\n  -rf foo", "rm"),
            ("rm \\\r\n -rf foo", "rm"),
            ("rm\n-rf x", "rm"),
            ("rm -f *", "rm"),
            ("bash -c 'rm -f build/*'", "rm"),
            ("find . -name '*.pyc' -delete", "find-delete"),
            ("git push --force origin main", "git-push-force"),
            ("git push -uf origin x", "git-push-force"),
            ("git push --force-with-lease", "git-push-force"),
            ("git -C /w push origin +main", "git-push-force"),
            ("git push origin :main", "git-push-force"),
            ("git reset --hard HEAD~1", "git-reset-hard"),
            ("git clean -fdx", "git-clean"),
            ("git clean -f", "git-clean"),
            ("git checkout -- .", "git-discard"),
            ("git checkout .", "git-discard"),
            ("git checkout HEAD -- a.py", "git-discard"),
            ("git checkout -f main", "git-discard"),
            ("git switch --discard-changes main", "git-discard"),
            ("git restore .", "git-discard"),
            ("git restore --source=HEAD~2 -- src", "git-discard"),
            ("git restore --staged --worktree .", "git-discard"),
            ("git branch -D old", "git-rewrite"),
            ("psql -c 'DROP TABLE users'", "sql-drop"),
            ("drop  database prod;", "sql-drop"),
            ("truncate table x", "sql-truncate"),
            ('psql -c "TRUNCATE users"', "sql-truncate"),
            ("truncate users;", "sql-truncate"),
            ("DELETE FROM users;", "sql-delete"),
            ('psql -c "DELETE FROM users" && date', "sql-delete"),
            ("sqlite3 x 'delete from app.users'", "sql-delete"),
            ("DELETE FROM users\nEOF", "sql-delete"),
            ("dropdb prod", "dropdb"),
            ("redis-cli FLUSHALL", "redis-flush"),
            ("""python -c 'import shutil; shutil.rmtree("x")'""", "rmtree"),
            ("truncate -s0 db.sqlite", "truncate"),
            ("truncate --size=0 db.sqlite", "truncate"),
            ("mkfs.ext4 /dev/sdb", "mkfs"),
            ("dd if=/dev/zero of=/dev/sda bs=1M", "dd"),
            ("chmod -R 777 /", "chmod"),
            ("terraform destroy -auto-approve", "terraform-destroy"),
            ("kubectl -n prod delete pod x", "kubectl-delete"),
            ("docker system prune -af", "docker-prune"),
            ("aws s3 rm s3://b --recursive", "cloud-delete"),
        ],
    )
    def test_the_usual_ones(self, command: str, pattern: str) -> None:
        assert risks.found(command, ["usual"]) == pattern

    @pytest.mark.parametrize(
        "command",
        ["rm notes.txt", "git push origin main", "git reset HEAD a.py", "chmod +x run.sh", "npm run format",
         "SELECT * FROM drops", "terraform plan",
         "rm a.txt && ls -r", "rm -f *.pyc", "rm .env", "git checkout -b x", "git checkout main",
         "git restore --staged .", "git add . && ls :x", "DELETE FROM users WHERE id = 1",
         "delete from users\n  where id = 1",
         "truncate the text", "git push origin HEAD:main", "rm_tree = 1",
         "kubectl get pods", "git branch -d", "form -r", "dd if=a"],
    )  # fmt: skip
    def test_what_is_none(self, command: str) -> None:
        assert risks.found(command, ["usual"]) == ""

    def test_a_pattern_of_ones_own(self) -> None:
        assert risks.found("make deploy", [r"\bmake deploy\b"]) == r"\bmake deploy\b"
        assert risks.found("make test", [r"\bmake deploy\b"]) == ""

    def test_single_names_may_be_chosen(self) -> None:
        assert risks.found("git reset --hard", ["rm"]) == ""

    def test_nobodys_pattern_can_take_long(self) -> None:
        begun = time.process_time()
        assert risks.found("a" * 200_000, ["(a*)*b", "(a|a)+$b", "(.*a){20}$b"]) == ""
        assert time.process_time() - begun < 1
