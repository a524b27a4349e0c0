"""`bin/manage`: manage.py for the autovibe that bin/dev runs on this machine, with its database, node and secrets."""

import os
import sys
from pathlib import Path

from autovibe.embedded.postgres import Postgres
from autovibe.embedded.programs import ROOT, Ports, environment
from autovibe.embedded.stack import NODE_PORT, WEB_PORT
from autovibe.embedded.state import State


def main() -> None:
    """Becomes manage.py, or ends with a sentence when bin/dev does not run."""
    directory = Path(os.environ.get("AUTOVIBE_VAR") or ROOT / "var").absolute()
    if not (directory / "ports.json").exists():
        sys.exit(f"Nothing has been started in {directory} yet. Start it first: bin/dev")
    state = State(directory)
    ports = Ports(web=state.port("web", WEB_PORT), node=state.port("node", NODE_PORT))
    database = os.environ.get("DATABASE_URL") or Postgres(state.postgres).url
    os.chdir(ROOT)
    os.execve(
        sys.executable,
        [sys.executable, "manage.py", *sys.argv[1:]],
        environment(state.secrets(), ports, database),
    )


if __name__ == "__main__":
    main()
