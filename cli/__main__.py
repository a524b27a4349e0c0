"""`python3 cli …`: the command line straight from the checkout, which is what `bin/autovibe` runs.

Started like this, Python looks for modules here and not in the directory the user happens to be in.
"""

import sys

if sys.version_info < (3, 9):  # noqa: UP036 - bin/autovibe takes whatever python3 there is
    sys.exit(
        f"autovibe's command line needs Python 3.9 or newer; {sys.executable} is {sys.version.split()[0]}."
    )

from autovibe_cli.__main__ import main

sys.exit(main("bin/autovibe"))
