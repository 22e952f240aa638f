"""Known GPUs and their numbers; `detect` asks Ray which ones a cluster has."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from ray_ft.errors import ConfigError

GIB = 2**30


@dataclass(frozen=True)
class Hardware:
    """What a run may use. Bytes are per GPU (usable, as torch reports it) and per node (host)."""

    gpu: str  # catalogue name, or "cpu"
    memory_bytes: int  # of one GPU; of the host for "cpu"
    peak_flops: float  # dense bf16 (fp16 where there is no bf16), per second; of the whole host for "cpu"
    memory_bandwidth: float  # bytes per second
    num_gpus: int  # most workers, for "cpu"
    gpus_per_node: int
    host_memory_bytes: int  # per node
    interconnect_bandwidth: float  # bytes per second between GPUs of a node, as collectives realise it
    price_per_hour: float  # US dollars per GPU
    has_bf16: bool = True
    efficiency: float = 0.4  # share of peak_flops that eager training reaches with 2048 tokens or more per GPU
    compiled_efficiency: float = 0.7  # the same of compiled layers' products alone
    pcie_bandwidth: float = 24e9  # bytes per second between a GPU and its host
    network_bandwidth: float = 11e9  # bytes per second between nodes: 100 Gbit/s Ethernet
    num_free: int | None = None  # GPUs that nothing else holds just now; None where nobody was asked
    alternatives: tuple["Hardware", ...] = ()  # other kinds of GPU in a mixed cluster; one run uses one kind

    @property
    def is_cpu(self) -> bool:
        """Workers compute on the host and share its memory."""
        return self.gpu == "cpu"


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

CPU_FLOPS = 30e9  # fp32 per second and core, a modest AVX2 core; training reaches half of it
CPU_BANDWIDTH = 10e9
CPU_LINK = 1e9  # Gloo between processes of one machine


class Assumptions(Protocol):
    """The fields of a config's plan section that say what hardware there is; None leaves them to be found."""

    @property
    def gpu(self) -> str | None: ...
    @property
    def num_gpus(self) -> int | None: ...
    @property
    def gpus_per_node(self) -> int | None: ...
    @property
    def host_memory_gib(self) -> float | None: ...
    @property
    def price_per_hour(self) -> float | None: ...
    @property
    def prices(self) -> str | None: ...


def hardware_for(plan: Assumptions) -> Hardware:
    """The hardware that a config's plan section names; where it names no GPU, what Ray finds.

    Its other fields override the catalogue. Raises ConfigError for an unknown GPU, with the nearest names.
    """
    if plan.gpu is None:
        return detect(plan)
    if _spell(plan.gpu) == "cpu":
        return _override(cpu_hardware(os.cpu_count() or 1, _memory_here()), plan)
    return _override(gpu_hardware(known_gpu(plan.gpu), plan.num_gpus or 1, gpus_per_node=plan.gpus_per_node), plan)


def known_gpu(given: str) -> str:
    """The catalogue's name of a GPU; ConfigError with the nearest names where there is none."""
    name = catalogue_name(given)
    if name is not None:
        return name
    from rapidfuzz import fuzz, process

    spellings = {_spell(n): n for n in GPUS} | ALIASES
    near = process.extract(_spell(given), spellings.keys(), scorer=fuzz.ratio, limit=4, score_cutoff=50)
    names = list(dict.fromkeys(spellings[spelled] for spelled, _, _ in near))[:2]
    hint = f" Did you mean {' or '.join(names)}?" if names else ""
    raise ConfigError(f"plan.gpu: no such GPU {given!r}; known are {', '.join(GPUS)} and cpu.{hint}")


@cache
def packaged_prices() -> Mapping[str, float]:
    """US dollars per GPU and hour, by catalogue name."""
    return load_prices(Path(__file__).with_name("prices.yaml"))


def load_prices(path: str | Path) -> dict[str, float]:
    """Prices from a YAML mapping of GPU names, however spelled, to US dollars per GPU and hour.

    Raises ConfigError, in one line, for a file that cannot be read, an unknown GPU or what is no price.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"plan.prices: cannot read {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"plan.prices: {path} is no mapping of GPU names to US dollars per hour, such as L4: 0.8")
    prices = {}
    for given, price in content.items():
        name = catalogue_name(str(given))
        if name is None:
            raise ConfigError(f"plan.prices: {path}: no such GPU {given!r}; known are {', '.join(GPUS)}")
        if isinstance(price, bool) or not isinstance(price, (int, float)) or price < 0:
            raise ConfigError(f"plan.prices: {path}: {given} is {price!r}; it must be US dollars per GPU and hour")
        prices[name] = float(price)
    return prices


def gpu_hardware(
    name: str, num_gpus: int, *, gpus_per_node: int | None = None, host_memory_bytes: int | None = None
) -> Hardware:
    """A number of GPUs of one catalogue row; a node has min(num_gpus, 8) unless told otherwise."""
    row = GPUS[name]
    per_node = gpus_per_node or min(num_gpus, 8)
    return Hardware(
        gpu=name,
        memory_bytes=int(row.gib * GIB),
        peak_flops=row.tflops * 1e12,
        memory_bandwidth=row.hbm * 1e9,
        num_gpus=num_gpus,
        gpus_per_node=per_node,
        host_memory_bytes=host_memory_bytes or int(row.host_gib * per_node * GIB),
        interconnect_bandwidth=row.link * 1e9,
        price_per_hour=packaged_prices()[name],
        has_bf16=row.bf16,
        efficiency=row.efficiency,
        compiled_efficiency=row.compiled,
        pcie_bandwidth=row.pcie * 1e9,
    )


def cpu_hardware(num_cpus: int, memory_bytes: int) -> Hardware:
    """A machine without GPUs: its workers share the cores and the memory, and cost nothing extra."""
    return Hardware(
        gpu="cpu",
        memory_bytes=memory_bytes,
        peak_flops=CPU_FLOPS * num_cpus,
        memory_bandwidth=CPU_BANDWIDTH,
        num_gpus=num_cpus,
        gpus_per_node=num_cpus,
        host_memory_bytes=memory_bytes,
        interconnect_bandwidth=CPU_LINK,
        price_per_hour=0.0,
        has_bf16=False,
        efficiency=0.5,
    )


def catalogue_name(gpu: str, memory_mib: float | None = None) -> str | None:
    """The catalogue's name of a GPU as people, Ray and nvidia-smi spell it; None when it is not there.

    `memory_mib` tells apart the sizes that one name covers, such as A100 with 40 and with 80 GB.
    """
    spelled = _spell(gpu)
    names = {_spell(name): name for name in GPUS}
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


def detect(plan: Assumptions | None = None) -> Hardware:
    """The hardware of the Ray cluster that this process is connected to, with the plan section's overrides.

    Connects to RAY_ADDRESS, or to a cluster of this machine alone, when it is not. In a mixed cluster the kind with the
    most FLOP/s in all comes first; the others are its `alternatives`. Without GPUs it is the largest node's CPU.
    """
    import ray

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    kinds = group_nodes(nodes, _ask_nodes(nodes), free=_free_gpus())
    if kinds:
        found = replace(kinds[0], alternatives=tuple(kinds[1:]))
    else:
        largest = max((node["Resources"] for node in nodes), key=lambda r: float(r.get("CPU", 0)))
        # Of one machine Ray reports only the memory that was free when it started.
        memory = _memory_here() if len(nodes) == 1 else _node_memory(largest)
        found = cpu_hardware(max(1, int(largest.get("CPU", 1))), memory)
    return _override(found, plan) if plan else found


def group_nodes(
    nodes: Iterable[Mapping[str, Any]],
    asked: Mapping[str, tuple[str, float]],
    *,
    free: Mapping[str, float] | None = None,
) -> list[Hardware]:
    """Hardware per kind of GPU, most peak FLOP/s first, from `ray.nodes()`.

    `asked` maps a node's id to the (name, MiB) that its driver reports; Ray's own label stands in where it is missing.
    `free` maps a node's id to its GPUs that nothing holds.
    Raises ConfigError for a GPU that the catalogue does not know.
    """
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    unused: dict[str, int] = {}
    for node in nodes:
        resources = node["Resources"]
        if resources.get("GPU", 0) < 1:
            continue
        labels = [key.removeprefix("accelerator_type:") for key in resources if key.startswith("accelerator_type:")]
        label, mib = asked.get(node["NodeID"], (labels[0] if labels else "unknown", None))
        name = catalogue_name(label, mib)
        if name is None:
            raise ConfigError(
                f"plan.gpu: the cluster has a GPU named {label!r}; set plan.gpu to one of {', '.join(GPUS)}"
            )
        kinds.setdefault(name, []).append(resources)
        if free is not None:
            unused[name] = unused.get(name, 0) + int(free.get(node["NodeID"], 0))
    found = [
        replace(
            gpu_hardware(
                name,
                sum(int(r["GPU"]) for r in members),
                gpus_per_node=min(int(r["GPU"]) for r in members),
                host_memory_bytes=min(_node_memory(r) for r in members) or None,
            ),
            num_free=unused.get(name),
        )
        for name, members in kinds.items()
    ]
    return sorted(found, key=lambda hardware: -hardware.peak_flops * hardware.num_gpus)


def _ask_nodes(nodes: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, float]]:
    """(name, MiB) of the first GPU of each GPU node, by nvidia-smi there: Ray's label does not tell 40 from 80 GB."""
    import subprocess

    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def query() -> tuple[str, float] | None:
        command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        try:
            name, mib = subprocess.check_output(command, text=True, timeout=30).splitlines()[0].rsplit(",", 1)
            return name.strip(), float(mib)
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return None

    remote = ray.remote(num_cpus=0)(query)  # no GPU is asked for, so that a busy cluster answers too
    asked = {
        node["NodeID"]: remote.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in nodes
        if node["Resources"].get("GPU", 0) >= 1
    }
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=60) if asked else ([], [])
    answers = {node: ray.get(answer) for node, answer in asked.items() if answer in ready}
    return {node: answer for node, answer in answers.items() if answer is not None}


def _free_gpus() -> dict[str, float] | None:
    """GPUs of each node that nothing holds, by the node's id; None where this version of Ray does not tell."""
    try:
        from ray._private.state import available_resources_per_node
    except ImportError:
        return None
    return {node: float(free.get("GPU", 0)) for node, free in available_resources_per_node().items()}


def _node_memory(resources: Mapping[str, float]) -> int:
    """Host memory of a node: what Ray gives to tasks and to its object store."""
    return int(resources.get("memory", 0) + resources.get("object_store_memory", 0))


def _memory_here() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _override(found: Hardware, plan: Assumptions) -> Hardware:
    count = plan.num_gpus or found.num_gpus
    host = int(plan.host_memory_gib * GIB) if plan.host_memory_gib else found.host_memory_bytes
    price = found.price_per_hour
    if plan.prices is not None:
        price = load_prices(plan.prices).get(found.gpu, price)
    return replace(
        found,
        num_gpus=count,
        gpus_per_node=plan.gpus_per_node or min(found.gpus_per_node, count),
        host_memory_bytes=host,
        memory_bytes=host if found.is_cpu else found.memory_bytes,
        price_per_hour=price if plan.price_per_hour is None else plan.price_per_hour,
        alternatives=tuple(_override(other, plan) for other in found.alternatives),
    )


def _spell(name: str) -> str:
    spelled = re.sub(r"[^a-z0-9]", "", name.lower())
    return spelled.removeprefix("nvidia")
