"""`python -m localchat_ui user …`: the first account is made where the program runs, never over the network."""

from __future__ import annotations

import argparse
import asyncio
import sys
from getpass import getpass

from localchat_ui import logs
from localchat_ui.access.accounts.accounts import AccountError, Accounts, UserDataError
from localchat_ui.access.audit import audit
from localchat_ui.settings import load_settings

TOLD = ("admin", "off", "erase", "give_to")  # what the log says of an action, beside the name
EPILOG = "Settings that say where the database is (--data-dir, --database-url) may follow."


def run(arguments: list[str]) -> None:
    """Do what the arguments say. Raises AccountError, BadSettingError or HistoryError; argparse may leave by itself."""
    options, settings = _parser().parse_known_args(arguments)
    loaded = load_settings(settings)
    logs.set_up(loaded.log_level, loaded.log_format)
    for line in asyncio.run(_with_accounts(options, loaded.resolved_database_url)):
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


async def _with_accounts(options: argparse.Namespace, database_url: str) -> list[str]:
    password = _ask_password() if options.action in ("add", "password") else ""
    accounts = await Accounts(database_url).open()
    try:
        lines = await _act(accounts, options, password)
    finally:
        await accounts.close()
    if options.action not in ("list", "keys"):
        told = {name: value for name, value in vars(options).items() if name in TOLD and value}
        audit(f"user {options.action}", user=options.name, **told)
    return lines


async def _act(accounts: Accounts, options: argparse.Namespace, password: str) -> list[str]:  # noqa: PLR0911
    match options.action:
        case "add":
            user = await accounts.add(options.name, password, is_admin=options.admin)
            return [f"{user.name} can log in now, and everybody must."]
        case "list":
            users = await accounts.users()
            return [f"{user.name} (admin)" if user.is_admin else user.name for user in users] or ["There are no users."]
        case "remove":
            try:
                went = await accounts.remove(options.name, give_to=options.give_to, erase=options.erase)
            except UserDataError as error:
                raise AccountError(f"{error} Add --erase or --give-to OTHER.") from None
            became = f"{options.give_to} has {went} more" if options.give_to else f"erased: {went}"
            return [f"{options.name} is gone; {became}." if went else f"{options.name} is gone."]
        case "password":
            await accounts.set_password(options.name, password)
            return ["The password is changed, and all sessions have ended."]
        case "admin":
            await accounts.set_admin(options.name, not options.off)
            return [f"{options.name} is {'a plain user' if options.off else 'an administrator'} now."]
        case "key":
            return [await accounts.create_key(options.name, options.label)]
        case "keys":
            keys = await accounts.keys(options.name)
            return [f"{key.id}  {key.last_used_at or 'never used'}  {key.label}" for key in keys] or ["No keys."]
        case _:
            await accounts.revoke_key(options.name, options.key_id)
            return ["The key is worth nothing now."]


def _ask_password() -> str:
    """Typed twice at a terminal; otherwise the first line of the input, for scripts."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass("Password: ")
    if getpass("Once more: ") != password:
        raise AccountError("The two passwords differ.")
    return password
