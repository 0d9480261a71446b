"""The composition root: everything is built here and handed on; nothing is held in globals."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI
from nicegui import App, app

from localchat_ui.access import AccessControl, current_is_admin, current_owner
from localchat_ui.api import chat_stream, documentation, health, messages, openai, rerank, responses, tokens, unanswered
from localchat_ui.api.backend import Backend
from localchat_ui.chat import ChatDefaults, ChatService, ComparisonService, TitleWriter
from localchat_ui.engine.adapters import Adapter
from localchat_ui.engine.base import Engine
from localchat_ui.engine.llama import ModelOptions
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.engine.loader import LoadOptions
from localchat_ui.engine.worker import LlamaEngine
from localchat_ui.history.database import Database
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.maintenance import Maintenance
from localchat_ui.history.preferences import Preferences
from localchat_ui.history.presets import Presets
from localchat_ui.history.store import HistoryStore
from localchat_ui.inference import Inference, ModelLibrary, ModelRegistry
from localchat_ui.inference.first_download import FirstDownload
from localchat_ui.inference.local import LocalBackend
from localchat_ui.library.catalog import Catalog, new_catalog
from localchat_ui.library.checksums import Checksums
from localchat_ui.library.doctor import examine
from localchat_ui.library.downloads import new_downloads
from localchat_ui.library.forecast import memory_check, new_forecaster
from localchat_ui.library.hub import Hub
from localchat_ui.library.hub_token import HubToken
from localchat_ui.library.queue import DownloadQueue, Job, JobFile
from localchat_ui.settings import Settings
from localchat_ui.ui import (
    account_page,
    admin_page,
    chat_page,
    install,
    login_page,
    models_page,
    system_page,
    trouble_page,
    uploads,
)
from localchat_ui.ui.compare import page as compare_page
from localchat_ui.ui.compare import results_page

if TYPE_CHECKING:
    from localchat_ui.inference.remote import RemoteServer

logger = logging.getLogger(__name__)

# Settings that may be others for one model.
LOADED_AS = {"n_ctx", "parallel", "n_threads", "n_gpu_layers", "kv_type"}


def create_app(settings: Settings, engine: Engine | None = None) -> App:  # noqa: PLR0915 - a table of contents
    """NiceGUI's app with all pages and routes. `engine` is given by tests; the default generates with llama.cpp."""
    access = AccessControl(settings)
    database = Database(settings.resolved_database_url, current_owner=current_owner)
    store = HistoryStore(database)
    maintenance = Maintenance(store)
    preferences, presets = Preferences(database), Presets(database)
    catalog = new_catalog(settings)
    local = _local(engine or _llama(settings), catalog, settings)
    remotes = _remotes(settings)
    forecaster = new_forecaster(settings, lambda: local.engine.figures.unused_bytes)
    inference = Inference(
        local,
        {remote.name: remote for remote in remotes},
        record_usage=access.quotas.record_usage,
        learn_speed=forecaster.learn,
    )
    token = HubToken(settings.hub_token, settings.data_dir / "hub-token")
    queue = DownloadQueue(settings.models_dir, settings.data_dir / "downloads.json", new_downloads(settings, token))
    models = ModelRegistry(
        local,
        catalog,
        preferences,
        configured=settings.model,
        first_download=FirstDownload(queue, lambda: Job(settings.model_repo, "", (JobFile(settings.model_file),))),
        remotes=remotes,
        load_defaults=LoadChanges.model_validate(settings.model_dump(include=LOADED_AS)),
        forecaster=forecaster,
        is_admin=current_is_admin,
    )
    library = ModelLibrary(
        catalog,
        models,
        queue,
        Hub(token),
        token,
        checksums=Checksums(settings.data_dir / "checksums.json"),
        forecaster=forecaster,
        is_admin=current_is_admin,
    )
    defaults = ChatDefaults(settings.chat_options(), preferences, lambda: models.current)
    titles = TitleWriter(inference, store, preferences, configured=settings.auto_titles)
    chat = ChatService(inference, store, models, defaults, access.quotas, titles=titles)
    comparisons = ComparisonService(chat, store, models, local, preferences, quotas=access.quotas)

    backend = Backend(inference, models, chat, access.page_sessions.until_access_ends)

    access.protect(app)  # whatever is registered here or elsewhere
    login_page.register(app, access)  # /login, /logout
    chat_page.register(chat, models, presets, access)  # / and /c/{conversation_id}
    results_page.register(comparisons)  # /compare/results
    compare_page.register(comparisons, models, presets, access)  # /compare and /compare/{comparison_id}
    uploads.register(app, chat)  # /upload/…, for the chat page
    account_page.register(access)  # /account
    admin_page.register(access, models)  # /admin
    models_page.register(models, library, defaults)  # /models
    system_page.register(partial(examine, settings, catalog, forecaster), library)  # /system
    install.register(app)  # /manifest.webmanifest, /service-worker.js, /offline, icons
    trouble_page.register(app)  # any page, when the database cannot be read
    chat_stream.register(app, backend, inference.metrics)  # /chat/stream, /reset, /conversations
    _register_protocols(app, backend)  # /v1/chat/completions, /v1/messages and their like
    health.register(app, models, inference.metrics)  # /healthz, /metrics
    documentation.register(app)  # /docs, /openapi.json
    unanswered.register(app)  # what else is asked of these

    async def start() -> None:
        try:
            await access.open()
            await database.open()
            await models.open()
            await library.start()
            # Before there are pages, so that whoever sends something finds a model on its way.
            models.start()
            await chat.start()
            maintenance.start()
        except Exception as error:
            # NiceGUI would log it and go on, with pages that wait for ever.
            app.state.startup_error = error
            if not isinstance(error, HistoryError):
                logger.exception("the program cannot start")
            app.shutdown()

    async def stop() -> None:
        await maintenance.close()
        await comparisons.runs.close()
        await chat.close()
        # A load under way gives up when the engine closes, so the models are closed after it.
        await local.close()
        await library.close()
        await models.close()
        await access.close()
        await database.close()

    _before_the_first_request(app, start)
    app.on_shutdown(stop)
    return app


def _before_the_first_request(app: App, start: Callable[[], Awaitable[None]]) -> None:
    """Run `start` to its end before the port is open and NiceGUI says so, unlike `on_startup`."""
    nicegui = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await start()
        async with nicegui(app):
            yield

    app.router.lifespan_context = lifespan


def _local(engine: Engine, catalog: Catalog, settings: Settings) -> LocalBackend:
    return LocalBackend(engine, catalog, memory_check(settings))


def _register_protocols(app: App, backend: Backend) -> None:
    metrics = backend.inference.metrics
    openai.register(app, backend, metrics)  # /v1/models, /v1/chat/completions, /v1/completions, /v1/embeddings
    responses.register(app, backend, metrics)  # /v1/responses
    messages.register(app, backend, metrics)  # /v1/messages
    rerank.register(app, backend, metrics)  # /v1/rerank
    tokens.register(app, backend, metrics)  # /tokenize, /detokenize, /apply-template


def _llama(settings: Settings) -> LlamaEngine:
    options = LoadOptions(
        n_ctx=settings.n_ctx,
        parallel=settings.parallel,
        n_batch=settings.n_batch,
        n_threads=settings.n_threads,
        kv_type=settings.kv_type,
        flash_attention=settings.flash_attention,
        model=ModelOptions(
            n_gpu_layers=settings.n_gpu_layers,
            main_gpu=settings.main_gpu,
            tensor_split=settings.tensor_shares,
            use_mmap=settings.use_mmap,
            use_mlock=settings.use_mlock,
        ),
        chat_template=settings.chat_template,
        trials=settings.data_dir / "flash_attention.json",
        adapters=tuple(Adapter(*each) for each in settings.adapter_list),
        kv_disk_folder=settings.data_dir / "kv",
        kv_disk_bytes=settings.kv_cache_disk_bytes,
    )
    return LlamaEngine(
        options,
        memory_budget=settings.model_memory_bytes,
        idle_seconds=60 * settings.model_idle_minutes,
    )


def _remotes(settings: Settings) -> list[RemoteServer]:
    if not settings.engine_list:
        return []
    # The client library takes most of a second to import.
    from localchat_ui.inference.remote import RemoteServer  # noqa: PLC0415

    return [RemoteServer(each) for each in settings.engine_list]
