"""Figures for Prometheus: of the engine, and of the replies it writes for whomever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from localchat_ui.access import Visitor, current_visitor
from localchat_ui.conversation import GenerationStats, RequestOptions
from localchat_ui.engine.base import (
    Embeddings,
    Emit,
    Engine,
    EngineFigures,
    Event,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    LoadedModel,
    PromptBuilt,
)

Spend = Callable[[Visitor | None, int], None]
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Belongs to one app; nothing of it is global to the process."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        self.requests = counter("localchat_http_requests", "Requests of the API", ["path", "status"])
        self.replies = counter("localchat_replies", "Replies by how they ended", ["finish_reason"])
        self.errors = counter("localchat_reply_errors", "Replies that ended with an error")
        self.generated = counter("localchat_generated_tokens", "Tokens written")
        self.prompt = counter("localchat_prompt_tokens", "Tokens of prompts, reused ones included")
        self.reused = counter("localchat_reused_tokens", "Tokens of prompts that were in the KV cache already")
        self.first_token = Histogram(
            "localchat_time_to_first_token_seconds",
            "From the request to its first token",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.registry.register(_Figures(engine))

    def count(self, event: Event) -> None:
        """Called on the engine's thread."""
        if isinstance(event, GenerationFailed):
            self.errors.inc()
        elif isinstance(event, GenerationDone):
            self._count_reply(event.stats)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)

    def _count_reply(self, stats: GenerationStats) -> None:
        self.replies.labels(stats.finish_reason).inc()
        self.generated.inc(stats.reply_tokens)
        self.prompt.inc(stats.prompt_tokens)
        self.reused.inc(stats.reused_tokens)
        if stats.reply_tokens:
            self.first_token.observe(stats.seconds_to_first_token)


class MeteredEngine:
    """An engine whose replies are counted, whoever asked for them: pages or programs."""

    def __init__(self, engine: Engine, spend: Spend = lambda visitor, n_tokens: None) -> None:
        """`spend` is told, on any thread, of the tokens that were computed for somebody; reused ones cost nothing."""
        self._engine = engine
        self._spend = spend
        self.metrics = Metrics(engine)

    @property
    def model(self) -> LoadedModel | None:
        return self._engine.model

    @property
    def figures(self) -> EngineFigures:
        return self._engine.figures

    def load(self, path: Path, on_progress: Callable[[float], None]) -> LoadedModel:
        return self._engine.load(path, on_progress)

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        visitor = current_visitor()

        def count_and_emit(event: Event) -> None:
            self.metrics.count(event)
            if isinstance(event, GenerationDone):
                stats = event.stats
                self._spend(visitor, stats.prompt_tokens - stats.reused_tokens + stats.reply_tokens)
            emit(event)

        self._engine.submit(request, count_and_emit)

    def preview(self, request: GenerationRequest) -> PromptBuilt:
        return self._engine.preview(request)

    def holds(self, path: Path) -> bool:
        return self._engine.holds(path)

    def embed(
        self, texts: Sequence[str | Sequence[int]], model: Path | None = None, *, request_id: str = ""
    ) -> Embeddings:
        made = self._engine.embed(texts, model, request_id=request_id)
        self._spend(current_visitor(), made.n_tokens)
        return made

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        self._engine.change(request_id, sampling)

    def cancel(self, request_id: str) -> None:
        self._engine.cancel(request_id)

    def make_room(self) -> None:
        self._engine.make_room()

    def close(self) -> None:
        self._engine.close()


class _Figures(Collector):
    """What the engine is doing at the moment it is asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        figures = self._engine.figures
        values = {
            "running_replies": ("Replies being written or read for", figures.running),
            "waiting_replies": ("Replies waiting for a free sequence", figures.waiting),
            "batch_fill_ratio": ("Share of recent batches that was used", figures.batch_fill),
            "kv_cells_used": ("Tokens in the KV cache", figures.kv_cells_used),
            "kv_cells": ("Tokens that the KV cache can hold", figures.kv_cells),
            "models_in_memory": ("Models in memory", len(figures.models)),
        }
        for name, (text, value) in values.items():
            yield GaugeMetricFamily(f"localchat_{name}", text, value)
