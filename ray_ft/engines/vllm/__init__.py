"""Generation with vLLM, on GPUs."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ray_ft.engines.base import ENGINES, Engine, LoadedModel, Writer


@ENGINES.register("vllm")
@dataclass(frozen=True)
class VLLMEngine(Engine):
    """vLLM: the fastest on GPUs; base and many adapters in one batch, over several GPUs. Needs the extra vllm."""

    name: str = "vllm"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Compute dtype; auto is the checkpoint's own, and 16 bits for one in 32."""
    quantization: Literal["none", "fp8", "nf4"] = "none"
    """How the base's weights are held; nf4 needs a vLLM that still has bitsandbytes, as 0.26."""
    tensor_parallel: int | None = None
    """GPUs that share one copy of the model; null takes all that the process is given, one unless told otherwise."""
    gpu_memory_fraction: float = 0.85
    """Share of each GPU's memory for weights, adapters and keys and values; scoring needs some of the rest."""
    max_adapters: int = 16
    """Different adapters in one batch, each with room of max_adapter_rank on the GPU; 0 loads none at all."""
    max_adapter_rank: int | None = None
    """Largest rank that an adapter may have; null takes that of those loaded at the start, at least 16."""
    max_seq_len: int | None = None
    """Longest context, prompt and answer together; null takes the model's own, or what fits the memory."""
    batch_size: int | None = None
    """Answers that are open together; null leaves it to vLLM."""
    eager: bool = False
    """Neither compile nor record CUDA graphs: starts sooner and answers more slowly."""
    options: dict[str, Any] = field(default_factory=dict)
    """More arguments of vLLM's AsyncEngineArgs, by their names there."""

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> LoadedModel:
        from ray_ft.engines.vllm.model import load_model

        return load_model(self, model_path, adapters, chat_template=chat_template)

    def load_writer(self, model_path: str, *, chat_template: str | None = None) -> Writer:
        base_alone = replace(self, max_adapters=0)
        return Engine.load_writer(base_alone, model_path, chat_template=chat_template)

    def write_batch_size(self) -> int:
        return 4 * (self.batch_size or 128)

    def keeps_schemas(self) -> bool:
        return importlib.util.find_spec("llguidance") is not None

    @property
    def num_gpus(self) -> int:
        return self.tensor_parallel or 1

    def problems(self) -> Iterator[tuple[str, object, str]]:
        yield from super().problems()
        for name in ("tensor_parallel", "max_adapter_rank", "max_seq_len"):
            given = getattr(self, name)
            if given is not None and given < 1:
                yield name, given, "at least 1"
        if not 0 < self.gpu_memory_fraction <= 1:
            yield "gpu_memory_fraction", self.gpu_memory_fraction, "above 0 and at most 1"

    def check(self, model_path: str, adapters: Mapping[str, str]) -> None:
        from ray_ft.engines.transformers.adapters import check_adapter
        from ray_ft.engines.vllm.adapters import check_plain
        from ray_ft.models.weights import check_base

        check_base(model_path)
        for name, folder in adapters.items():
            check_plain(name, folder)
            check_adapter(name, folder, model_path=model_path)
