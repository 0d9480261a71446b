"""Figures for Prometheus: of the engine, and of the replies it writes for whomever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from localchat_ui.access import Visitor
from localchat_ui.conversation import GenerationStats
from localchat_ui.engine.base import Engine, Event, GenerationDone, GenerationFailed

RecordUsage = Callable[[Visitor | None, int], None]
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


class Meter:
    """Counts what one request costs, whoever asked for it: a page or a program."""

    def __init__(
        self,
        metrics: Metrics,
        record_usage: RecordUsage,
        visitor: Visitor | None,
        on_done: Callable[[GenerationStats], None] = lambda stats: None,
    ) -> None:
        """`on_done` is told of a reply that is finished, on the engine's thread."""
        self._metrics = metrics
        self._on_done = on_done
        self._record_usage = record_usage
        self._visitor = visitor

    def count(self, event: Event) -> None:
        """Called on the engine's thread. Tokens that were in the cache already cost nothing."""
        self._metrics.count(event)
        if isinstance(event, GenerationDone):
            stats = event.stats
            self._record_usage(self._visitor, stats.prompt_tokens - stats.reused_tokens + stats.reply_tokens)
            self._on_done(stats)
        elif isinstance(event, GenerationFailed) and event.n_tokens:
            self._record_usage(self._visitor, event.n_tokens)


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
