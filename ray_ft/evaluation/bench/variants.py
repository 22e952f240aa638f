"""Which ways to hold a model there are: quantisation by form, each with what has to be loaded, or why it cannot be."""

import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ray_ft.artifacts import TunedModel
from ray_ft.config import BenchConfig
from ray_ft.engines import Engine, TransformersEngine
from ray_ft.errors import ConfigError
from ray_ft.evaluation.exam.tasks import TUNED

SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class Load:
    """What one process loads."""

    name: str
    form: str
    engine: Engine
    model_path: str = ""
    adapters: tuple[tuple[str, str], ...] = ()
    refused: str = ""

    @property
    def system(self) -> str:
        """Whom evaluation would call by it."""
        return "base" if self.form == "base" else TUNED


def engine_of(engine: Engine) -> Engine:
    """The one whose weights are measured: `auto` picks another by quantisation, which would compare engines.

    Raises ConfigError for an engine that holds no weights here.
    """
    if engine.name == "auto":
        known: dict[str, Any] = {key: getattr(engine, key) for key in ("dtype", "max_adapters")}
        return TransformersEngine(**known)
    if not engine.needs_weights:
        raise ConfigError(f"engine.name: {engine.name} holds no weights here; bench measures transformers or vllm")
    return engine


def loads_of(
    bench: BenchConfig,
    engine: Engine,
    *,
    base_path: str,
    tuned: TunedModel | None,
    merged_path: str = "",
    merge_refused: str = "",
    dtype: str,
) -> Iterator[Load]:
    """Every variant that is asked for, by quantisation; those that cannot be say why.

    `dtype` is what unquantised weights are held in, in torch's words.
    """
    held = typing.get_args(typing.get_type_hints(type(engine)).get("quantization"))
    for quantization in bench.quantizations:
        weights = SHORT[dtype] if quantization == "none" else quantization
        refused = "" if quantization in held else f"{engine.name} holds weights as {', '.join(held)}"
        for form in bench.forms:
            own = replace(engine, **_settings(engine, "none" if refused else quantization, form, bench.batch_size))
            load = Load(f"{weights} {form}", form, own, base_path)
            why = refused or _missing(form, tuned, merge_refused)
            if why:
                yield replace(load, refused=why)
            elif form == "adapter" and tuned is not None:
                yield replace(load, adapters=((TUNED, tuned.path),))
            elif form == "merged" and tuned is not None:
                yield replace(load, model_path=merged_path if tuned.is_adapter else tuned.path)
            else:
                yield load


def _settings(engine: Engine, quantization: str, form: str, batch_size: int) -> dict[str, Any]:
    """vLLM keeps room for adapters, and is slower for it, whether or not there are any."""
    most = getattr(engine, "max_adapters", 1) if form == "adapter" else 0
    return {"quantization": quantization, "batch_size": batch_size, "max_adapters": most}


def _missing(form: str, tuned: TunedModel | None, merge_refused: str) -> str:
    if form == "base":
        return ""
    if tuned is None:
        return "the run has no tuned model yet: `ray-ft train CONFIG` makes one"
    if form == "adapter" and not tuned.is_adapter:
        return f"{tuned.strategy.name} made a whole model, which stands as merged"
    return merge_refused if form == "merged" else ""
