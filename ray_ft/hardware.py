"""Known GPUs and their numbers; `detect` asks Ray which ones a cluster has."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """What a run may use. Bytes are per GPU (usable, as torch reports it) and per node (host)."""

    gpu: str  # catalogue name, or "cpu"
    memory_bytes: int  # of one GPU; of the host for "cpu"
    peak_flops: float  # dense bf16 (fp16 where there is no bf16), per second
    memory_bandwidth: float  # bytes per second
    num_gpus: int  # workers, for "cpu"
    gpus_per_node: int
    host_memory_bytes: int  # per node
    interconnect_bandwidth: float  # bytes per second between GPUs of a node
    price_per_hour: float  # US dollars per GPU
    has_bf16: bool = True
