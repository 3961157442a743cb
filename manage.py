#!/usr/bin/env python
"""Django's command line, on the same environment and database as the server."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    from gateway_project import embedded, env

    with env.exit_on_bad_environment():
        environment = env.current()
    embedded.ensure_for_command(environment, sys.argv)

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
