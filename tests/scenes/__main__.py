"""Serve a scene to look at: `python -m tests.scenes typical --port 8123`, until Ctrl-C."""

import argparse
import signal

from tests.e2e.stack import PASSWORD
from tests.scenes.build import NAMES
from tests.scenes.serving import standing_alone

parser = argparse.ArgumentParser(prog="python -m tests.scenes", description=__doc__)
parser.add_argument("scene", choices=NAMES)
parser.add_argument("--port", type=int, default=0, help="0: a free one")
asked = parser.parse_args()
with standing_alone(asked.scene, port=asked.port) as scene:
    print(
        f"{scene.url}  sign in as admin, password {PASSWORD}; sessionid={scene.cookie}\n{scene.ids}",
        flush=True,
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("Stopped.")
