"""Host memory of one candidate per node: processes, what is offloaded, loading, and copies for checkpoints."""

from ray_ft.hardware import Hardware
from ray_ft.models.shape import ModelShape
from ray_ft.planning.memory.phases import layer_activations
from ray_ft.planning.memory.stack import Stack
from ray_ft.planning.memory.state import Candidate, trained_parameters
from ray_ft.planning.profile import DEFAULT, Profile


def host_memory_per_node(
    shape: ModelShape,
    candidate: Candidate,
    *,
    hardware: Hardware,
    stack: Stack,
    worker_bytes: int,
    max_seq_len: int,
    profile: Profile = DEFAULT,
) -> dict[str, int]:
    """Bytes of host memory that one node needs, by what for.

    `worker_bytes` is one worker's memory on CPU hardware, where the host's memory is the memory. Checkpoints are copied
    to the host and written from there. Ray's object store stays out of it: training reads packed rows by memory map.
    """
    strategy, c = candidate.strategy, stack.compute_bytes
    here = min(candidate.num_workers, hardware.gpus_per_node)
    trained = trained_parameters(shape, strategy)
    share = trained * here / candidate.num_workers  # of this node's workers
    copies = round(stack.optimizer_bytes * share) + c * trained
    if hardware.is_cpu:
        return {"processes": profile.node_bytes // 2, "workers": here * worker_bytes, "checkpoint copies": copies}
    parts = {"processes": profile.node_bytes + here * profile.process_bytes, "checkpoint copies": copies}
    if stack.offload_activations and candidate.gradient_checkpointing:
        held = layer_activations(shape, candidate, stack=stack, max_seq_len=max_seq_len)
        parts["offloaded activations"] = here * held.on_host
    if strategy.offload != "none":  # master, gradient and moments of this node's shards, pinned
        shard = share if strategy.zero_stage else trained * here
        # Sums over micro-batches wait there, in fp32 under ZeRO-3 and in the parameters' dtype under 1 and 2.
        sums = (4 if strategy.zero_stage == 3 else c) if candidate.gradient_accumulation_steps > 1 else 0
        parts["offloaded optimizer"] = round((stack.optimizer_bytes + 4 + sums) * shard)
    if strategy.offload == "all":
        parts["offloaded weights"] = round(strategy.weight_bytes(shape, compute_bytes=c) * here / candidate.num_workers)
    if strategy.zero_stage == 3 and not strategy.dequantised_parameters(shape):
        parts["loading"] = c * shape.num_parameters  # rank 0 reads the checkpoint and sends out the shards
    return {name: size for name, size in parts.items() if size}
