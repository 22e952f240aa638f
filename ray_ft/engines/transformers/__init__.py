"""Generation with transformers and PEFT, on CPU and GPU."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ray_ft.engines.base import ENGINES, Engine, LoadedModel


@ENGINES.register("transformers")
@dataclass(frozen=True)
class TransformersEngine(Engine):
    """A local model with its adapters in one process."""

    name: str = "transformers"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Compute dtype; auto is bfloat16 on GPUs that have it, float16 on older ones, float32 on CPU."""
    quantization: Literal["none", "int8", "nf4"] = "none"
    """How the base's weights are held; an adapter trained by QLoRA is served beside 16-bit weights by default."""
    batch_size: int | None = None
    """Answers that are open together and share the model's passes; default 16 on CPUs, 128 on GPUs."""
    max_adapters: int = 16
    """Different adapters among them; others are held in the machine's memory and take their turns."""

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> LoadedModel:
        from ray_ft.engines.transformers.model import load_model

        return load_model(
            model_path,
            adapters,
            chat_template=chat_template,
            dtype=self.dtype,
            quantization=self.quantization,
            batch_size=self.batch_size,
            max_adapters=self.max_adapters,
        )

    def write_batch_size(self) -> int:
        return 4 * (self.batch_size or 16)

    def keeps_schemas(self) -> bool:
        return importlib.util.find_spec("llguidance") is not None

    def check(self, model_path: str, adapters: Mapping[str, str]) -> None:
        from ray_ft.engines.transformers.adapters import check_adapter
        from ray_ft.models.weights import check_base

        check_base(model_path)
        for name, folder in adapters.items():
            check_adapter(name, folder, model_path=model_path)
