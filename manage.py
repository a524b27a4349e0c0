#!/usr/bin/env python
"""Django's command line for autovibe."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "autovibe.settings")
    from django.core.management import execute_from_command_line

    from events import context

    context.of_process(context.of_command(sys.argv[1] if len(sys.argv) > 1 else ""))
    execute_from_command_line(sys.argv)
