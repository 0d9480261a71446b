"""Brings models into memory when somebody needs them, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from localchat_ui.engine.adapters import Adapter, load_adapters
from localchat_ui.engine.base import LoadedModel, ModelLoadError, NoModelError
from localchat_ui.engine.context import Context, ContextOptions, KvType
from localchat_ui.engine.flash_trial import FlashTrials
from localchat_ui.engine.kv_disk_cache import KvDiskCache, fingerprint
from localchat_ui.engine.llama import DEFAULT_OPTIONS, Model, ModelOptions, llama_cpp_version
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.engine.machine import usable_cores
from localchat_ui.engine.model_pool import ModelPool, PooledModel, Stamp, stamp_of
from localchat_ui.engine.scheduler import Scheduler
from localchat_ui.engine.template import thinking_of_model

SHUTTING_DOWN = "The program is shutting down."

T = TypeVar("T")


@dataclass(frozen=True)
class LoadOptions:
    """How models are loaded; see the settings of the same names. None is automatic.

    `adapters` are added to the models they are for. `chat_template` is a file whose template takes the place of the
    models' own ones. `trials` is the file that keeps what was tried of flash attention; without one nothing is tried.
    """

    n_ctx: int = 4096
    parallel: int = 4
    n_batch: int = 512
    n_threads: int | None = None
    kv_type: KvType = "f16"
    flash_attention: bool | None = None
    model: ModelOptions = DEFAULT_OPTIONS
    chat_template: Path | None = None
    trials: Path | None = None
    adapters: tuple[Adapter, ...] = ()
    kv_disk_folder: Path | None = None
    kv_disk_bytes: int = 0

    def changed(self, changes: LoadChanges) -> LoadOptions:
        """For a model that is loaded in another way; its template is not among them."""
        given = changes.model_dump(exclude_none=True, include={"n_ctx", "parallel", "n_threads", "kv_type"})
        options = replace(self, **given)
        if changes.n_gpu_layers is None:
            return options
        return replace(options, model=replace(options.model, n_gpu_layers=changes.n_gpu_layers))


class Loader:
    """Every method may be called from any thread. `on_released` is called whenever somebody no longer needs a model."""

    def __init__(self, options: LoadOptions, pool: ModelPool, on_released: Callable[[], None]) -> None:
        self._options = options
        self._pool = pool
        self._on_released = on_released
        self._loading = threading.Lock()
        self._lock = threading.Lock()
        self._closing = False

    def lease(
        self, path: Path, on_progress: Callable[[float], None] | None = None, *, unchanged: bool = False
    ) -> PooledModel:
        """The model of this file, loaded now unless it is in memory; it stays there until it is released.

        `unchanged`: if the file was changed since, it is loaded again. Raises ModelLoadError, NoModelError at the end.
        """
        if self._closing:
            raise NoModelError(SHUTTING_DOWN)
        warm = self._pool.lease(path, unchanged=unchanged)
        if warm is not None:
            return warm
        with self._loading:
            # Somebody else may just have loaded it.
            warm = self._pool.lease(path, unchanged=unchanged)
            return warm or self._take_in(self._load(path, on_progress or (lambda share: None)))

    def release(self, model: PooledModel) -> None:
        self._pool.release(model)
        self._on_released()

    @contextmanager
    def leased(
        self, path: Path, on_progress: Callable[[float], None] | None = None, *, unchanged: bool = False
    ) -> Iterator[PooledModel]:
        model = self.lease(path, on_progress, unchanged=unchanged)
        try:
            yield model
        finally:
            self.release(model)

    def close(self) -> None:
        """Load nothing any more; a load under way gives up at its next progress report, and is waited for."""
        with self._lock:
            self._closing = True
        with self._loading:
            pass

    def _take_in(self, model: PooledModel) -> PooledModel:
        model.leases = 1
        with self._lock:
            if not self._closing:
                self._pool.add(model)
                return model
        model.close()
        raise ModelLoadError(SHUTTING_DOWN)

    def _load(self, path: Path, on_progress: Callable[[float], None]) -> PooledModel:
        def report(share: float) -> bool:
            on_progress(share)
            return not self._closing

        stamp = stamp_of(path)
        for cold in self._pool.take_cold(wanted=stamp.n_bytes):
            cold.close()
        return in_thread_that_ends(lambda: self._open(path, stamp, report))

    def _open(self, path: Path, stamp: Stamp, on_progress: Callable[[float], bool]) -> PooledModel:
        changes = self._pool.changes_of(path)
        options = self._options.changed(changes)
        template = changes.chat_template or template_for(path, options.chat_template)
        n_threads = options.n_threads or usable_cores()
        model = Model(path, options.model, chat_template=template, on_progress=on_progress)
        try:
            load_adapters(model, self._adapters_for(path))
            n_ctx = min(options.n_ctx or model.n_ctx_train, model.n_ctx_train or options.n_ctx)
            context_options = self._context_options(model, options, n_ctx, n_threads)
            context = Context(model, context_options)
        except BaseException:
            model.close()
            raise
        thinking = thinking_of_model(model)
        info = LoadedModel(
            path,
            n_ctx,
            model.n_ctx_train,
            model.chat_template is not None,
            thinking,
            parallel=options.parallel,
            n_threads=n_threads,
        )
        disk = self._disk_cache(model, options, uses_flash_attention=context_options.uses_flash_attention)
        scheduler = Scheduler(model, context, n_ctx=n_ctx, n_sequences=options.parallel, disk=disk)
        n_bytes = model.n_bytes + n_ctx * options.parallel * model.kv_bytes_per_token(options.kv_type)
        return PooledModel(info, model, context, scheduler, n_bytes, stamp, changes)

    def _context_options(self, model: Model, options: LoadOptions, n_ctx: int, n_threads: int) -> ContextOptions:
        context = ContextOptions(
            n_ctx=n_ctx,
            n_sequences=options.parallel,
            # Replies must never fill a batch, whatever they guess.
            n_batch=max(options.n_batch, 2 * options.parallel),
            n_threads=n_threads,
            kv_type=options.kv_type,
            flash_attention=options.flash_attention,
            on_gpu=options.model.n_gpu_layers != 0,
        )
        if options.trials is None or not context.has_choice or not model.can_truncate:
            return context
        verdict = FlashTrials(options.trials).verdict(model, context)
        return replace(context, flash_attention=verdict.flash_attention)

    def _disk_cache(self, model: Model, options: LoadOptions, *, uses_flash_attention: bool) -> KvDiskCache | None:
        # Of a state that cannot be truncated only the very end could be used again.
        if not options.kv_disk_bytes or options.kv_disk_folder is None or not model.can_truncate:
            return None
        adapters = [(adapter, stamp_of(adapter.path)) for adapter in self._adapters_for(model.path)]
        version = llama_cpp_version()
        name = fingerprint(model.path, version, options.kv_type, uses_flash_attention, options.model, *adapters)
        return KvDiskCache(options.kv_disk_folder / name, options.kv_disk_bytes)

    def _adapters_for(self, path: Path) -> list[Adapter]:
        return [adapter for adapter in self._options.adapters if adapter.is_for(path)]


def template_for(path: Path, otherwise: Path | None) -> str | None:
    """The template beside a model, `NAME.jinja` for `NAME.gguf`, else the one for all; None leaves the model its own.

    Raises ModelLoadError for one that cannot be read.
    """
    beside = path.with_suffix(".jinja")
    file = beside if beside.is_file() else otherwise
    try:
        return file.read_text(encoding="utf-8") if file else None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ModelLoadError(f"The chat template {file.name if file else ''} could not be read: {reason}.") from error


def in_thread_that_ends(work: Callable[[], T]) -> T:
    """Run something that may compute with llama.cpp beside the engine's thread.

    OpenMP gives every thread that computes a team of its own, for as long as the thread lives. Once the threads of all
    teams exceed the cores, none of them spins at its barriers any more, and decoding loses a third of its speed. Some
    weights are rearranged while they are loaded: that computes, too.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="llama load") as executor:
        return executor.submit(work).result()
