"""A program on a leash ends when it is told to, with all it started, whether it wants to or not."""

import signal
import subprocess
import sys
import time

DEAF = "trap '' TERM; (trap '' TERM; sleep 60) & echo up; sleep 60; sleep 60"


def leashed(seconds: float, script: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "autovibe.embedded.leash", str(seconds), "/bin/sh", "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_its_exit_code_is_the_programs():
    assert leashed(5, "exit 3").wait(20) == 3


def test_a_program_that_ends_when_told_is_not_killed():
    process = leashed(60, "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done")
    assert process.stdout
    process.stdout.readline()

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 7


def test_a_deaf_one_is_killed_with_all_it_started():
    process = leashed(0.5, DEAF)
    assert process.stdout
    process.stdout.readline()
    began = time.monotonic()

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == -signal.SIGKILL
    assert process.stdout.read() == ""  # nobody holds the other end any more
    assert time.monotonic() - began < 20
