"""What Prometheus reads at `/metrics`: requests, latencies and tokens by adapter and version, from this process alone.

Every series carries `process`; sums over it are the endpoint's.
"""

import os
import socket
from dataclasses import dataclass
from typing import Any

from ray_ft.serving.access.record import AskRecord, RequestRecord

MAX_MODELS = 100
"""Pairs of adapter and version with series of their own; Prometheus keeps every series that it has ever seen."""
OTHER = "other"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)


@dataclass(frozen=True)
class Gauges:
    """What is so at the moment."""

    num_open_answers: int
    num_open_tokens: int
    is_draining: bool
    num_running: int | None = None  # in the copy of the model that was asked; None: none was
    num_waiting: int | None = None


class Metrics:
    """All series of one process."""

    def __init__(self, process: str = "") -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._process = process or f"{socket.gethostname()}:{os.getpid()}"
        self._registry = CollectorRegistry()
        self._models: set[tuple[str, str]] = set()

        def make(kind: Any, name: str, text: str, *labels: str, **options: Any) -> Any:
            made = kind(f"ray_ft_serve_{name}", text, ("process", *labels), registry=self._registry, **options)
            return lambda *values: made.labels(self._process, *values)

        model = ("adapter", "version")
        self._requests = make(Counter, "requests", "Asks that ended.", *model, "route", "code", "finish")
        self._rejected = make(Counter, "rejected", "Requests refused before a model was asked.", "reason")
        self._cancelled = make(Counter, "cancelled", "Asks whose client went away.", *model)
        self._prompt = make(Counter, "prompt_tokens", "Tokens of prompts.", *model)
        self._cached = make(Counter, "cached_tokens", "Tokens of prompts that had been read before.", *model)
        self._completion = make(Counter, "completion_tokens", "Tokens of answers.", *model)
        self._of_keys = make(Counter, "key_tokens", "Tokens of prompts and answers, by the key's id.", "key")
        self._ttft = make(Histogram, "ttft_seconds", "Until the first text of a stream.", *model, buckets=SECONDS)
        self._e2e = make(Histogram, "e2e_seconds", "Until an ask ended.", *model, buckets=SECONDS)
        self._inter_token = make(
            Histogram, "inter_token_seconds", "Mean time between tokens of a streamed answer.", *model,
            buckets=TOKEN_SECONDS,
        )  # fmt: skip
        self._open = make(Gauge, "open_answers", "Answers being made or waiting.")()
        self._open_tokens = make(Gauge, "open_tokens", "Tokens that open answers may take, prompts included.")()
        self._draining = make(Gauge, "draining", "1 while no new request is taken.")()
        self._running = make(Gauge, "running", "Answers that the model's engine is making.")
        self._waiting = make(Gauge, "waiting", "Answers that wait in the model's engine.")

    def ended(self, record: RequestRecord, route: str, now: float) -> None:
        """Count a request; `now` on the clock of its record."""
        if record.refused:
            self._rejected(record.refused).inc()
        for ask in record.asks:
            self._count_ask(ask, now)
            self._requests(*self._model(ask), route, str(record.status), ask.finish).inc()
        if not record.asks:
            self._requests("", "", route, str(record.status), "").inc()
        num_tokens = sum(ask.num_prompt_tokens + ask.num_completion_tokens for ask in record.asks)
        if record.key.id and num_tokens:
            self._of_keys(record.key.id).inc(num_tokens)

    def _count_ask(self, ask: AskRecord, now: float) -> None:
        model = self._model(ask)
        if ask.finish == "cancelled":
            self._cancelled(*model).inc()
        self._prompt(*model).inc(ask.num_prompt_tokens)
        self._cached(*model).inc(ask.num_cached_tokens)
        self._completion(*model).inc(ask.num_completion_tokens)
        self._e2e(*model).observe(now - ask.opened)
        if ask.first_token is not None:
            self._ttft(*model).observe(ask.first_token - ask.opened)
        for seconds in ask.seconds_per_token:
            self._inter_token(*model).observe(seconds)

    def _model(self, ask: AskRecord) -> tuple[str, str]:
        model = (ask.adapter, ask.version)
        if model not in self._models and len(self._models) >= MAX_MODELS:
            return OTHER, OTHER
        self._models.add(model)
        return model

    def text(self, gauges: Gauges) -> bytes:
        """The page, in Prometheus' text format."""
        from prometheus_client import generate_latest

        self._open.set(gauges.num_open_answers)
        self._open_tokens.set(gauges.num_open_tokens)
        self._draining.set(gauges.is_draining)
        if gauges.num_running is not None and gauges.num_waiting is not None:
            self._running().set(gauges.num_running)
            self._waiting().set(gauges.num_waiting)
        return generate_latest(self._registry)
