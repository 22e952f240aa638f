"""What a run may use, in numbers: some GPUs of one kind, or a machine without any."""

from dataclasses import dataclass

from ray_ft.hardware.gpus import GIB, GPUS
from ray_ft.hardware.prices import packaged_prices

CPU_FLOPS = 30e9  # fp32 per second and core, a modest AVX2 core; training reaches half of it
CPU_BANDWIDTH = 10e9
CPU_LINK = 1e9  # Gloo between processes of one machine


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
