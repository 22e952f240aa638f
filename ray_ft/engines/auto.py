"""The default: the fastest engine that there is for the machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ray_ft.engines.base import ENGINES, Engine, LoadedModel, Writer
from ray_ft.engines.transformers import TransformersEngine
from ray_ft.engines.vllm import VLLMEngine
from ray_ft.engines.vllm.adapters import beyond_plain
from ray_ft.engines.vllm.versions import is_installed


@ENGINES.register("auto")
@dataclass(frozen=True)
class AutoEngine(Engine):
    """vllm on GPUs where it is installed and answers with the adapters, else transformers; what both can be told."""

    name: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Compute dtype, as the engine has it."""
    quantization: Literal["none", "nf4"] = "none"
    """How the base's weights are held; nf4 is answered by transformers."""
    batch_size: int | None = None
    """Answers that are open together; null takes the engine's default."""
    max_adapters: int = 16
    """Different adapters in one batch."""

    def resolved(self, adapters: Mapping[str, str] | None = None, *, has_gpus: bool | None = None) -> Engine:
        if not is_installed() or any(map(beyond_plain, (adapters or {}).values())):
            return self._engine(has_gpus=False)
        return self._engine(has_gpus=_has_gpus() if has_gpus is None else has_gpus)

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> LoadedModel:
        return self._here(adapters).load(model_path, adapters, chat_template=chat_template)

    def load_writer(self, model_path: str, *, chat_template: str | None = None) -> Writer:
        return self._here({}).load_writer(model_path, chat_template=chat_template)

    def write_batch_size(self) -> int:
        return self.resolved().write_batch_size()

    def writer_identity(self, model_path: str, *, chat_template: str | None = None) -> dict[str, Any]:
        return self.resolved().writer_identity(model_path, chat_template=chat_template)

    def check(self, model_path: str, adapters: Mapping[str, str]) -> None:
        self.resolved(adapters).check(model_path, adapters)

    def _here(self, adapters: Mapping[str, str]) -> Engine:
        """For this process, which may have been given no GPU of a cluster's."""
        import torch

        return self.resolved(adapters, has_gpus=torch.cuda.is_available())

    def _engine(self, *, has_gpus: bool) -> Engine:
        if has_gpus and self.quantization == "none":
            return VLLMEngine(dtype=self.dtype, batch_size=self.batch_size, max_adapters=self.max_adapters)
        return TransformersEngine(
            dtype=self.dtype,
            quantization=self.quantization,
            batch_size=self.batch_size,
            max_adapters=self.max_adapters,
        )


def _has_gpus() -> bool:
    """Whether the cluster has GPUs, or this machine where no cluster is up."""
    import ray

    if ray.is_initialized():
        return bool(ray.cluster_resources().get("GPU"))
    import torch

    return torch.cuda.is_available()
