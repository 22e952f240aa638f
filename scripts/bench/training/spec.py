"""What one contender is told and what it answers, as JSON between processes; imports neither torch nor ray_ft."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Spec:
    """One measurement, which a process of its own makes (or `world_size` processes together)."""

    part: str
    contender: str
    stack: str  # for people
    run: str  # the function that makes it, a key of contender.RUNS
    strategy: str = "lora"
    shape: str = "llama2-7b"
    sequence: int = 2048
    micro_batch: int = 4
    rank: int = 16
    checkpointing: bool = False
    zero_stage: int = 0
    world_size: int = 1
    warmup: int = 4
    steps: int = 12
    seed: int = 5
    rival: str = ""  # package that has to be importable
    rival_site: str = ""  # PYTHONPATH of the rival
    needs_gpu: bool = False
    scratch: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.part}/{self.contender}"

    @property
    def file_name(self) -> str:
        return f"{self.name.replace('/', '-')}-{self.shape}-{self.micro_batch}-{self.world_size}"


def write_spec(spec: Spec, path: Path) -> None:
    path.write_text(json.dumps(asdict(spec)))


def read_spec(path: Path) -> Spec:
    return Spec(**json.loads(path.read_text()))
