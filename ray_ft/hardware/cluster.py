"""The hardware that a config's plan section names, or that the Ray cluster has."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ray_ft.errors import ConfigError
from ray_ft.hardware.gpus import GIB, GPUS, catalogue_name, known_gpu, spell
from ray_ft.hardware.machine import Hardware, cpu_hardware, gpu_hardware
from ray_ft.hardware.prices import load_prices


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
    if spell(plan.gpu) == "cpu":
        return _override(cpu_hardware(os.cpu_count() or 1, _memory_here()), plan)
    return _override(gpu_hardware(known_gpu(plan.gpu), plan.num_gpus or 1, gpus_per_node=plan.gpus_per_node), plan)


def configured_price(plan: Assumptions, *, num_gpus: float) -> float | None:
    """US dollars per hour of so many GPUs that are there, or machines without; None where the plan section has none."""
    given = plan.price_per_hour
    if given is None and plan.prices is not None:
        given = detect(plan).price_per_hour
    return None if given is None else given * num_gpus


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


def placement(gpu: str) -> dict[str, Any]:
    """What keeps a run's workers on one kind of GPU of the connected cluster, as arguments of Ray's ScalingConfig."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    return placement_among(nodes, _ask_nodes(nodes), gpu=gpu)


def placement_among(
    nodes: Sequence[Mapping[str, Any]], asked: Mapping[str, tuple[str, float]], *, gpu: str
) -> dict[str, Any]:
    """Ray's label of the kind where it tells the kind apart, else the nodes that have it; {} where nothing is known.

    A GPU that the catalogue does not know is what `gpu` says. Arguments as of `group_nodes`. Raises ConfigError where
    the one machine there is has another kind.
    """
    names: dict[str, str | None] = {}
    labels: dict[str, set[str]] = {}
    for node in nodes:
        if node["Resources"].get("GPU", 0) >= 1:
            of_node = _labels(node["Resources"])
            label, mib = asked.get(node["NodeID"], (of_node[0] if of_node else "unknown", None))
            names[node["NodeID"]], labels[node["NodeID"]] = catalogue_name(label, mib), set(of_node)
    mine = [node for node, name in names.items() if name in (gpu, None)]
    if not mine and names:
        if len(nodes) == 1:
            there = ", ".join(sorted({str(name) for name in names.values()}))
            raise ConfigError(f"plan.gpu: the plan is for {gpu} and this machine has {there}; name that, or none")
        named_alike = not gpu.startswith(("RTX", "MI"))  # by Ray, on nodes that may come yet
        return {"accelerator_type": gpu.split("-")[0]} if named_alike else {}
    told = set.intersection(*(labels[node] for node in mine)) if mine else set()
    told -= {label for node in names if node not in mine for label in labels[node]}
    if told:
        return {"accelerator_type": min(told)}
    if len(mine) == len(names):
        return {}
    return {"label_selector": {"ray.io/node-id": f"in({','.join(mine)})"}}


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
        labels = _labels(resources)
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


def _labels(resources: Mapping[str, float]) -> list[str]:
    """Ray's names for a node's GPUs."""
    return [key.removeprefix("accelerator_type:") for key in resources if key.startswith("accelerator_type:")]


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
