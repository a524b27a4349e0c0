"""The contract: work inside a guest, over its agent. It needs a template whose agent answers."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxmox import errors
from proxmox.driver import CHUNK_BYTES


class TestCommands:
    def test_both_outputs_and_the_exit_code_are_told(self, driver, running):
        ran = driver.run(running, 'printf "%s|%s" "$1" "$2"; echo oops >&2; exit 3', "a b", "c'd")

        assert (ran.code, ran.out, ran.err) == (3, b"a b|c'd", b"oops\n")

    def test_what_is_not_ascii_arrives_and_comes_back(self, driver, running):
        ran = driver.run(running, 'printf "%s “%s”" "$1" "$#"', "Zoë 日本", "")

        assert ran.out.decode() == "Zoë 日本 “2”"

    def test_a_signal_is_told_as_a_shell_does(self, driver, running):
        assert driver.run(running, "kill -9 $$").code == 137

    def test_what_does_not_end_in_time_has_an_unknown_outcome(self, driver, running):
        with pytest.raises(errors.UnknownOutcome, match="did not end within"):
            driver.run(running, "exec sleep 5", seconds=0.3)

    def test_threads_wait_for_each_other(self, target, running):
        def say(number: int) -> bytes:
            return target.connect().run(running, f"echo {number}").out

        with ThreadPoolExecutor(8) as threads:
            said = list(threads.map(say, range(8)))

        assert said == [b"%d\n" % number for number in range(8)]

    def test_a_guest_that_is_off_has_no_agent(self, driver, off):
        assert not driver.agent_answers(off)
        with pytest.raises(errors.AgentAbsent):
            driver.run(off, "true")


class TestFiles:
    def test_bytes_survive_both_ways(self, driver, running):
        content = bytes(range(256)) * 100

        driver.write(running, "/root/bytes", content)

        assert driver.read(running, "/root/bytes") == content

    @pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7])
    def test_a_file_of_any_size_is_put_whole(self, driver, running, size):
        content = hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1)

        driver.put(running, "/root/made/by put/file", content[:size])

        assert driver.read(running, "/root/made/by put/file") == content[:size]

    def test_mode_and_owner_are_set_and_nothing_is_left_behind(self, driver, running):
        driver.put(running, "/root/tidy/tool", b"#!/bin/sh\n", mode=0o750, owner="root:root")

        told = driver.run(
            running, 'cd "${GUEST_ROOT:-}/root/tidy"; stat -c "%a %U:%G" tool; ls -A . ../../tmp'
        )

        assert told.out.decode().splitlines()[0] == "750 root:root"
        assert ".autovibe" not in told.out.decode()
        assert "tool." not in told.out.decode()

    def test_a_name_that_is_not_ascii_is_put(self, driver, running):
        driver.put(running, "/root/Zoë/日本", b"x")

        assert driver.run(running, 'cat "${GUEST_ROOT:-}/root/Zoë/日本"').out == b"x"

    def test_a_file_that_cannot_be_put_leaves_the_old_one(self, driver, running):
        driver.put(running, "/root/kept", b"old")

        with pytest.raises(errors.ProxmoxError, match="/root/kept in guest"):
            driver.put(running, "/root/kept", b"new", owner="nobody-has-this-name:nogroup")

        assert driver.read(running, "/root/kept") == b"old"

    def test_a_file_that_is_not_there_is_missing(self, driver, running):
        with pytest.raises(errors.Missing):
            driver.read(running, "/no/such/file")

    def test_a_file_that_is_too_large_is_told_so(self, driver, running):
        driver.run(running, 'head -c 16777300 /dev/zero > "${GUEST_ROOT:-}/root/large"')

        with pytest.raises(errors.Capacity, match="16 MiB"):
            driver.read(running, "/root/large")
