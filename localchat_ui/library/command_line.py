"""`python -m localchat_ui models …`: what is here, told and removed, found on the hub and downloaded."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from localchat_ui import logs
from localchat_ui.library.catalog import Catalog, new_catalog
from localchat_ui.library.download import progress_text
from localchat_ui.library.downloads import NewDownload, new_downloads
from localchat_ui.library.errors import LibraryError
from localchat_ui.library.forecast import Forecaster, new_forecaster
from localchat_ui.library.hub import Hub, Repository
from localchat_ui.library.hub_token import HubToken
from localchat_ui.library.model_file import ModelFile, displayable, readable_size
from localchat_ui.library.queue import Job, JobFile, job_of
from localchat_ui.library.source import parse_source
from localchat_ui.settings import Settings, load_settings

TOLD_EVERY = 0.5
EPILOG = "Settings that say where the models are (--models-dir, --data-dir) may follow."


def run(arguments: list[str]) -> None:
    """Raises LibraryError or BadSettingError. argparse exits for wrong arguments."""
    options, rest = _parser().parse_known_args(arguments)
    settings = load_settings(rest)
    logs.set_up(settings.log_level, settings.log_format)
    asyncio.run(_act(options, settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m localchat_ui models", description="The models on this machine.", epilog=EPILOG, allow_abbrev=False
    )
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, explanation: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=explanation, description=explanation, epilog=EPILOG, allow_abbrev=False)

    action("list", "all models, and why one of them cannot be used")
    action("info", "what is known of a model").add_argument("name", help="its file name, or a path")
    action("search", "repositories on the hub").add_argument("words", nargs="+")
    pull = action("pull", "download a model; goes on where an earlier attempt ended")
    pull.add_argument("source", help="owner/name, owner/name:Q4_K_M, a link to the hub, or an https address")
    removal = action("remove", "delete a model's files")
    removal.add_argument("name", help="its file name, or its path in the models folder")
    removal.add_argument("--yes", action="store_true", help="do not ask")
    return parser


async def _act(options: argparse.Namespace, settings: Settings) -> None:
    catalog = new_catalog(settings)
    await catalog.refresh()
    token = HubToken(settings.hub_token, settings.data_dir / "hub-token")
    hub = Hub(token)
    forecaster = new_forecaster(settings)
    match options.action:
        case "search":
            _show(await hub.search(" ".join(options.words)))
        case "pull":
            await _pull(options.source, hub, new_downloads(settings, token), settings.models_dir, forecaster)
        case "list":
            _list(catalog, forecaster)
        case "info":
            _tell(await _find(catalog, options.name, outside=True), forecaster)
        case "remove":
            await _remove(catalog, await _find(catalog, options.name), sure=options.yes)


def _list(catalog: Catalog, forecaster: Forecaster) -> None:
    for model in catalog.models:
        forecast = forecaster.of_file(model).lines if model.is_loadable else ()
        say("\n    ".join((model.file_name, model.details, *forecast)))
    if not catalog.models:
        say(f"There are no models in {catalog.models_dir}.")


def _tell(model: ModelFile, forecaster: Forecaster) -> None:
    rows = model.sheet | (forecaster.of_file(model).sheet if model.is_loadable else {})
    width = max(map(len, rows))
    for name, value in rows.items():
        say(f"{name:{width}}  {value}")


async def _remove(catalog: Catalog, model: ModelFile, *, sure: bool) -> None:
    question = f"Delete {displayable(str(model.path))} ({readable_size(model.size_bytes)}) for good? [y/N] "
    if not sure and not await asyncio.to_thread(_agrees, question):
        say("Nothing was deleted.")
        return
    freed = await catalog.remove(model)
    say(f"{model.name} is gone; {readable_size(freed)} are free.")


def _show(found: Sequence[Repository]) -> None:
    for each in found:
        say(f"{each.id}\n    {each.details}")
    if not found:
        say("Nothing was found. Try fewer words.")


async def _pull(text: str, hub: Hub, new_download: NewDownload, models_dir: Path, forecaster: Forecaster) -> None:
    source = parse_source(text, hub.endpoint)
    if source is None:
        raise LibraryError(f"{displayable(text)} is no name of a repository, and no link. `models search` finds names.")
    if source.url:
        job = Job(source.url, "", (JobFile(source.url_filename),))
    else:
        repository, offer = await hub.offer(source)
        job = job_of(repository.id, offer)
        forecast = forecaster.of(offer.model_size, *await hub.shape_or_unknown(repository.id, offer)).text
        say(" · ".join(filter(None, (f"{offer.name}: {readable_size(offer.size)}", forecast))))
    for file in job.files:
        download = new_download(job, file, models_dir / job.folder)
        run = asyncio.create_task(download.run())
        try:
            while not run.done():
                await asyncio.wait([run], timeout=TOLD_EVERY)
                if sys.stdout.isatty():
                    sys.stdout.write(f"\r\033[K{progress_text(download.progress)}")
                    sys.stdout.flush()
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        say(("\r\033[K" if sys.stdout.isatty() else "") + str(run.result()))


def _agrees(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


async def _find(catalog: Catalog, name: str, *, outside: bool = False) -> ModelFile:
    model = catalog.find(name, outside=outside)
    if model is None:
        raise LibraryError(f"There is no model {displayable(name)} here. `models list` shows all.")
    await catalog.refresh()
    return catalog.find(model.path) or model


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
