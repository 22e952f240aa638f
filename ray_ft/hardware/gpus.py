"""Known GPUs: what vendor sheets and torch say of them, and the names that people, Ray and nvidia-smi give them."""

import re
from dataclasses import dataclass
from typing import Literal

from ray_ft.errors import ConfigError

GIB = 2**30

Precision = Literal["fp32", "bf16", "fp16"]
"""What a model computes in. The weights that train are always updated in fp32."""


@dataclass(frozen=True)
class GPU:
    """One catalogue row: what a vendor sheet and torch say of a GPU; prices.yaml has what it costs."""

    gib: float  # total that torch reports
    tflops: float  # dense bf16, or fp16 where there is no bf16
    hbm: float  # GB/s
    link: float  # GB/s per GPU that NCCL realises inside a node: NVLink where there is one, else PCIe
    efficiency: float  # hardware utilisation of eager training, including recomputation
    host_gib: float  # usual host memory per GPU
    pcie: float = 24.0  # GB/s
    bf16: bool = True
    compiled: float = 0.7  # utilisation by the products of compiled layers


# Efficiencies are medians of published training runs where there are any, and cautious guesses where there are none.
# Compiled layers' is a round figure that suits published compiled runs on A100 and runs measured on H200; for GPUs that
# power or software keeps from the sheet's rate it is a guess, half above eager, and without bf16 a quarter above.
GPUS: dict[str, GPU] = {
    "T4": GPU(14.75, 65, 320, 8, 0.35, 32, pcie=12, bf16=False, compiled=0.44),
    "V100-16GB": GPU(15.8, 125, 900, 110, 0.35, 60, pcie=12, bf16=False, compiled=0.44),
    "V100-32GB": GPU(31.7, 125, 900, 110, 0.35, 90, pcie=12, bf16=False, compiled=0.44),
    "A10G": GPU(22.1, 70, 600, 16, 0.50, 48),
    "L4": GPU(22.0, 121, 300, 16, 0.40, 48, compiled=0.6),
    "L40S": GPU(44.4, 362, 864, 20, 0.35, 128, compiled=0.52),
    "RTX3090": GPU(23.7, 71, 936, 12, 0.55, 64),
    "RTX4090": GPU(23.5, 165, 1008, 12, 0.55, 64),
    "RTX5090": GPU(31.4, 210, 1792, 24, 0.50, 64, pcie=48),
    "RTXA6000": GPU(47.5, 155, 768, 20, 0.55, 64),
    "A100-40GB": GPU(39.4, 312, 1555, 230, 0.45, 144),
    "A100-80GB": GPU(79.2, 312, 2039, 230, 0.45, 144),
    "H100-PCIE": GPU(79.1, 756, 2000, 40, 0.33, 128, pcie=48, compiled=0.5),
    "H100-80GB": GPU(79.1, 989, 3350, 380, 0.33, 256, pcie=48),
    "H200": GPU(139.8, 989, 4800, 380, 0.33, 256, pcie=48),
    "B200": GPU(178.0, 2250, 7700, 700, 0.28, 256, pcie=48, compiled=0.42),
    "MI300X": GPU(191.7, 1300, 5300, 300, 0.28, 230, pcie=48, compiled=0.42),
}

ALIASES = {
    "v100": "V100-16GB", "a10": "A10G", "a100": "A100-80GB", "a10040g": "A100-40GB", "a10080g": "A100-80GB",
    "h100": "H100-80GB", "h100sxm": "H100-80GB", "h10080ghbm3": "H100-80GB", "3090": "RTX3090", "4090": "RTX4090",
    "5090": "RTX5090", "a6000": "RTXA6000", "geforcertx3090": "RTX3090", "geforcertx4090": "RTX4090",
    "geforcertx5090": "RTX5090", "amdinstinctmi300x": "MI300X", "amdinstinctmi300xoam": "MI300X",
    "teslat4": "T4", "teslav100": "V100-16GB", "h200sxm": "H200",
}  # fmt: skip
"""Other spellings, with everything but letters and digits taken out, in lower case."""


def automatic_precision(gpu: str) -> Precision:
    """What `train.precision: auto` is on a GPU of the catalogue, or on "cpu"."""
    if gpu == "cpu":
        return "fp32"
    return "bf16" if gpu not in GPUS or GPUS[gpu].bf16 else "fp16"


def known_gpu(given: str) -> str:
    """The catalogue's name of a GPU; ConfigError with the nearest names where there is none."""
    name = catalogue_name(given)
    if name is not None:
        return name
    from rapidfuzz import fuzz, process

    spellings = {spell(n): n for n in GPUS} | ALIASES
    near = process.extract(spell(given), spellings.keys(), scorer=fuzz.ratio, limit=4, score_cutoff=50)
    names = list(dict.fromkeys(spellings[spelled] for spelled, _, _ in near))[:2]
    hint = f" Did you mean {' or '.join(names)}?" if names else ""
    raise ConfigError(f"plan.gpu: no such GPU {given!r}; known are {', '.join(GPUS)} and cpu.{hint}")


def catalogue_name(gpu: str, memory_mib: float | None = None) -> str | None:
    """The catalogue's name of a GPU as people, Ray and nvidia-smi spell it; None when it is not there.

    `memory_mib` tells apart the sizes that one name covers, such as A100 with 40 and with 80 GB.
    """
    spelled = spell(gpu)
    names = {spell(name): name for name in GPUS}
    exact = names.get(spelled) or ALIASES.get(spelled)
    if (
        exact is None
    ):  # "NVIDIA A100-SXM4-80GB" -> the longest catalogue or other spelling that it holds (GH200 is no H200)
        parts = sorted([*names, *ALIASES], key=len, reverse=True)
        held = next((p for p in parts if len(p) > 1 and re.search(rf"(?<!g){p}(?![0-9])", spelled)), None)
        exact = names.get(held) or ALIASES.get(held) if held else None
    if exact is None or memory_mib is None:
        return exact
    family = exact.split("-")[0]
    sizes = [name for name in GPUS if name.split("-")[0] == family and ("PCIE" in name) == ("PCIE" in exact)]
    return min(sizes, key=lambda name: abs(GPUS[name].gib - memory_mib / 1024))


def spell(name: str) -> str:
    spelled = re.sub(r"[^a-z0-9]", "", name.lower())
    return spelled.removeprefix("nvidia")
