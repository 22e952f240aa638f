"""One configuration of the estimator's grid, and its model's config.json; imports neither torch nor ray_ft's stages."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ray_ft.models.builtin import BUILTIN_CONFIGS
from ray_ft.models.catalogue import known_config


@dataclass(frozen=True)
class Configuration:
    """What one row of the table is a measurement of; every row of tokens is one example."""

    model: str  # a public model's name, or builtin:NAME
    strategy: str
    sequence: int
    micro_batch: int
    checkpointing: bool = False
    zero_stage: int = 0
    num_gpus: int = 1
    accumulation: int = 1
    rank: int = 16  # of adapters
    layers: int = 0  # 0: as many as the model has; anything else is no measurement of that model
    evaluate: bool = False  # measure an evaluation too
    backend: Literal["auto", "deepspeed"] = "auto"  # auto: ours where it can

    @property
    def name(self) -> str:
        """`Llama-2-7b-hf lora ZeRO-0 x1 4x2048 ckpt`: unique in a grid."""
        parts = [
            self.model.split("/")[-1], self.strategy, f"ZeRO-{self.zero_stage}", f"x{self.num_gpus}",
            f"{self.micro_batch}x{self.sequence}",
        ]  # fmt: skip
        parts += ["ckpt"] if self.checkpointing else []
        parts += [f"acc{self.accumulation}"] if self.accumulation > 1 else []
        parts += [f"r{self.rank}"] if self.rank != 16 else []
        parts += [f"{self.layers}-layers"] if self.layers else []
        parts += [self.backend] if self.backend != "auto" else []
        return " ".join(parts)

    @property
    def tokens_per_step(self) -> int:
        """Of all GPUs together."""
        return self.sequence * self.micro_batch * self.num_gpus * self.accumulation

    def backend_of(self, strategy: Any) -> Literal["deepspeed", "native"]:
        """What runs the row's steps, as a plan would have it."""
        return "deepspeed" if strategy.needs_deepspeed or self.backend == "deepspeed" else "native"

    def model_config(self) -> dict[str, Any]:
        """The model's config.json, long enough for the row; a name that nobody knows is our own mistake."""
        config = known_config(self.model) or BUILTIN_CONFIGS.get(self.model.removeprefix("builtin:"))
        assert config is not None, f"{self.model} is no known model"
        changed: dict[str, Any] = {**config, "dtype": "bfloat16", "use_cache": False}
        changed["max_position_embeddings"] = max(self.sequence, int(changed.get("max_position_embeddings", 0)))
        return changed | ({"num_hidden_layers": self.layers} if self.layers else {})


def to_values(configuration: Configuration) -> dict[str, Any]:
    """Its fields, as columns of a row."""
    return asdict(configuration)


def from_values(values: dict[str, Any]) -> Configuration:
    """From a row's columns, text or not; columns of other things are left alone."""
    known = {field.name: field.type for field in fields(Configuration)}
    readers: dict[Any, Any] = {int: int, bool: lambda text: str(text).lower() == "true"}
    return Configuration(
        **{name: readers.get(kind, str)(values[name]) for name, kind in known.items() if name in values}
    )
