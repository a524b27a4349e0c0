"""What is done in the guest, over its agent: the recipe's stages, the proof that they worked, and the cleaning.

A stage runs detached and leaves its log and exit code behind, so that it goes on when this command is killed.
"""

import time
from functools import partial
from typing import NamedTuple

from machines.templates.build import Build, Step, pauses
from machines.templates.errors import BuildError
from machines.templates.making import CLEANED, PROVISIONED, mark, passed
from proxmox.connect import driver
from proxmox.driver import Ran

DIRECTORY = "/var/lib/autovibe/template"
STAGE_SECONDS = 3600
SCRIPT_SECONDS = 120
LOG_BYTES = 20_000  # of a log, its end
SAY_SECONDS = 15

# /run is empty after a boot, so a process id in it is of this boot.
_PLACES = f"""
log="${{GUEST_ROOT:-}}{DIRECTORY}/$1"
running="${{GUEST_ROOT:-}}/run/autovibe-template.$1"
"""
_LOOK = f"""{_PLACES}
if [ -e "$running" ] && kill -0 "$(cat "$running")" 2>/dev/null; then echo "running"
elif [ -e "$log.code" ]; then echo "ended $(cat "$log.code")"
else echo "idle"; fi
tail -c {LOG_BYTES} "$log.log" 2>/dev/null || true
"""
# An installation may restart the agent's service, which takes everything with it that is in its control group.
# The job is a file, since systemd-run would read `$$` in its words.
_START = f"""{_PLACES}
rm -f "$log.code" "$running"
cat > "$log.job" <<'END'
echo $$ > "$2"
sh "$1.sh" > "$1.log" 2>&1 < /dev/null
echo $? > "$1.code.new"
mv "$1.code.new" "$1.code"
END
if [ -z "${{GUEST_ROOT:-}}" ] && [ -d /run/systemd/system ]; then
    systemd-run --quiet --collect /bin/sh "$log.job" "$log" "$running"
else
    /bin/sh "$log.job" "$log" "$running" > /dev/null 2>&1 < /dev/null &
fi
for tick in $(seq 40); do [ -e "$running" ] && exit 0; sleep 0.05; done
exit 1
"""


class Progress(NamedTuple):
    """How a stage stands: its exit code once it has ended, and the end of its log."""

    running: bool
    code: int | None
    log: str


def provisioning(stage: str, title: str) -> Step:
    """The step that runs one stage of the recipe."""
    return Step(title, partial(_has_run, stage), partial(_run, stage))


def _has_run(stage: str, build: Build) -> bool:
    return passed(build, PROVISIONED) or _look(build, stage).code == 0


def _run(stage: str, build: Build) -> None:
    if not _look(build, stage).running:
        script = build.recipe.script(stage, {**_kind(), **build.environment})
        driver().put(build.vm, f"{DIRECTORY}/{_key(build, stage)}.sh", script.encode(), mode=0o700)
        _checked(build, _START, _key(build, stage))
    _await(build, stage)


def _await(build: Build, stage: str) -> None:
    began = said = time.monotonic()
    for pause in pauses():
        progress = _look(build, stage)
        if not progress.running:
            break
        now = time.monotonic()
        if now - began > STAGE_SECONDS:
            raise BuildError(f"Stage {stage} is still at work after an hour:\n{_end(progress.log)}")
        if now - said > SAY_SECONDS:
            said = now
            build.say(f"    {now - began:.0f} s: {_end(progress.log, lines=1) or 'at work'}")
        time.sleep(pause)
    _judge(stage, progress)


def _judge(stage: str, progress: Progress) -> None:
    if progress.code is None:
        raise BuildError(f"Stage {stage} was ended from outside, by a reboot for example.")
    if progress.code:
        raise BuildError(f"Stage {stage} failed with exit code {progress.code}:\n{_end(progress.log)}")


def _look(build: Build, stage: str) -> Progress:
    answer = _checked(build, _LOOK, _key(build, stage)).out.decode(errors="replace")
    state, _, log = answer.partition("\n")
    code = int(state.removeprefix("ended ")) if state.startswith("ended ") else None
    return Progress(state == "running", code, log)


def _key(build: Build, stage: str) -> str:
    """A stage of another recipe is another stage."""
    return f"{stage}-{build.digest}"


def _end(log: str, lines: int = 15) -> str:
    return "\n".join([line.rstrip() for line in log.splitlines() if line.strip()][-lines:])


def _kind() -> dict[str, str]:
    """`EMBEDDED` tells a guest whose programs are its computer's: those must not be touched."""
    return {"EMBEDDED": "1" if driver().embedded() else ""}


def _checked(build: Build, script: str, *arguments: str) -> Ran:
    ran = driver().run(build.vm, script, *arguments, seconds=SCRIPT_SECONDS)
    if ran.code:
        said = (ran.out + ran.err).decode(errors="replace")
        raise BuildError(f"A command in VM {build.vm.vmid} failed with exit code {ran.code}:\n{_end(said)}")
    return ran


# --- the proof and the cleaning ---


def _verify(build: Build) -> None:
    for command in build.recipe.verify:
        script = build.recipe.script("verify", {**_kind(), "COMMAND": command})
        said = _end(_checked(build, script).out.decode(errors="replace"), lines=1)
        build.say(f"    {command}: {said}")
    mark(build, PROVISIONED)


def _clean(build: Build) -> None:
    _checked(build, build.recipe.script("clean", _kind()))
    mark(build, CLEANED)


VERIFY = Step("Checking what was installed", lambda build: passed(build, PROVISIONED), _verify)
CLEAN = Step("Cleaning up", lambda build: passed(build, CLEANED), _clean)
