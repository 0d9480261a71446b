"""`python -m localchat_ui user …`: the first account is created where the program runs, never over the network."""

from __future__ import annotations

import argparse
import asyncio
import sys
from getpass import getpass

from localchat_ui import logs
from localchat_ui.access.accounts.accounts import Accounts
from localchat_ui.access.accounts.errors import AccountError, UserDataError
from localchat_ui.access.audit import audit
from localchat_ui.access.database import AccessDatabase
from localchat_ui.settings import load_settings

AUDITED_OPTIONS = ("admin", "off", "erase", "give_to")  # in the audit log, beside the name
EPILOG = "Settings that say where the database is (--data-dir, --database-url) may follow."


def run(arguments: list[str]) -> None:
    """Raises AccountError, BadSettingError or HistoryError. argparse exits for wrong arguments."""
    options, settings_arguments = _parser().parse_known_args(arguments)
    settings = load_settings(settings_arguments)
    logs.set_up(settings.log_level, settings.log_format)
    password = _ask_password() if options.action in ("add", "password") else ""
    for line in asyncio.run(_run(options, password, settings.resolved_database_url)):
        sys.stdout.write(f"{line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m localchat_ui user",
        description="Who may log in. As soon as there is one user, everybody must.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, explanation: str, *, with_name: bool = True) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=explanation, description=explanation, epilog=EPILOG, allow_abbrev=False)
        if with_name:
            added.add_argument("name")
        return added

    action("add", "make an account; asks for the password").add_argument("--admin", action="store_true")
    action("list", "all accounts", with_name=False)
    removal = action("remove", "take an account away, with its sessions and keys").add_mutually_exclusive_group()
    removal.add_argument("--erase", action="store_true", help="erase the conversations and saved prompts for good")
    removal.add_argument("--give-to", metavar="OTHER", help="whose they are from now on")
    action("password", "set a new password; ends all sessions")
    action("admin", "make an account an administrator").add_argument(
        "--off", action="store_true", help="make it a plain user again"
    )
    action("key", "make an API key and show it once").add_argument("--label", default="")
    action("keys", "the API keys of an account")
    action("revoke", "take an API key away").add_argument("key_id")
    return parser


async def _run(options: argparse.Namespace, password: str, database_url: str) -> list[str]:
    """The lines to print."""
    async with AccessDatabase(database_url) as database:
        lines = await _act(Accounts(database), options, password)
    if options.action not in ("list", "keys"):
        details = {name: value for name, value in vars(options).items() if name in AUDITED_OPTIONS and value}
        audit(f"user {options.action}", user=options.name, **details)
    return lines


async def _act(accounts: Accounts, options: argparse.Namespace, password: str) -> list[str]:  # noqa: PLR0911
    match options.action:
        case "add":
            user = await accounts.users.add(options.name, password, is_admin=options.admin)
            return [f"{user.name} can log in now, and everybody must."]
        case "list":
            users = await accounts.users.all()
            return [f"{user.name} (admin)" if user.is_admin else user.name for user in users] or ["There are no users."]
        case "remove":
            try:
                data = await accounts.users.remove(options.name, give_to=options.give_to, erase=options.erase)
            except UserDataError as error:
                raise AccountError(f"{error} Add --erase or --give-to OTHER.") from None
            outcome = f"{options.give_to} has {data} more" if options.give_to else f"erased: {data}"
            return [f"{options.name} is gone; {outcome}." if data else f"{options.name} is gone."]
        case "password":
            await accounts.users.set_password(options.name, password)
            return ["Password changed. All sessions were logged out."]
        case "admin":
            await accounts.users.set_admin(options.name, not options.off)
            return [f"{options.name} is {'a plain user' if options.off else 'an administrator'} now."]
        case "key":
            return [await accounts.api_keys.create(options.name, options.label)]
        case "keys":
            keys = await accounts.api_keys.of(options.name)
            return [f"{key.id}  {key.last_used_at or 'never used'}  {key.label}" for key in keys] or ["No keys."]
        case _:
            await accounts.api_keys.revoke(options.name, options.key_id)
            return ["The key was revoked."]


def _ask_password() -> str:
    """Typed twice at a terminal; otherwise the first line of the standard input, for scripts."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass("Password: ")
    if getpass("Once more: ") != password:
        raise AccountError("The two passwords differ.")
    return password
