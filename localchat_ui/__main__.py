"""`python -m localchat_ui` serves the page and the API; with a command it does that one thing and ends."""

from __future__ import annotations

import sys
from importlib import import_module

from localchat_ui.text import PlainError

# Each imports what it needs itself: a command need not wait for the page.
COMMANDS = {
    "user": "localchat_ui.access.accounts.command_line",
    "database": "localchat_ui.history.command_line",
    "models": "localchat_ui.library.command_line",
    "doctor": "localchat_ui.library.doctor",
}


def main() -> None:
    command, *arguments = sys.argv[1:] or [""]
    try:
        if command in COMMANDS:
            import_module(COMMANDS[command]).run(arguments)
        else:
            import_module("localchat_ui.serve").serve(sys.argv[1:])
    except (PlainError, OSError) as error:
        sys.exit(f"localchat_ui: {error}")


if __name__ == "__main__":
    main()
