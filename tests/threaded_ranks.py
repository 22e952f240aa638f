"""Several ranks in this process, one a thread, as torch's own tests have them, and small engines for them to hold."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

SECONDS = 60  # after which a rank that waits for another one counts as hanging


def run_ranks(num_ranks: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns on each rank; the first error of a rank is raised here."""
    import torch
    import torch.distributed as dist
    from torch.testing._internal.distributed import multi_threaded_pg as threaded

    torch._C._distributed_c10d._set_thread_isolation_mode(True)
    threaded._install_threaded_pg()
    threaded.ProcessLocalGroup.reset()
    store = dist.HashStore()  # type: ignore[attr-defined]
    results: list[Any] = [None] * num_ranks
    errors: list[BaseException] = []

    def one(rank: int) -> None:
        dist.init_process_group("threaded", rank=rank, world_size=num_ranks, store=store)
        try:
            results[rank] = work(rank)
        except BaseException as error:
            errors.append(error)
            threaded.ProcessLocalGroup.exception_handle(error)
        finally:
            dist.destroy_process_group()

    threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(num_ranks)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
    finally:
        threaded._uninstall_threaded_pg()
        torch._C._distributed_c10d._set_thread_isolation_mode(False)
    if errors:
        raise next((error for error in errors if not isinstance(error, SystemExit)), errors[0])
    assert not any(thread.is_alive() for thread in threads), "a rank waits for one that does not come"
    return results


DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
GLOBAL_BATCH = 12


def engine_of(stage: int, precision: Any, *, world_size: int, num_micro_batches: int = 1) -> Any:
    """Our own engine of a ZeRO stage with three linear layers, on the calling rank."""
    import torch

    from ray_ft.training.backends.partitioned import PartitionedEngine
    from ray_ft.training.backends.replicated import ReplicatedEngine

    layers = [torch.nn.Linear(16, 24), torch.nn.Linear(24, 40), torch.nn.Linear(40, 3, bias=False)]
    generator = torch.Generator().manual_seed(3)  # threads share the other one
    for layer in layers:
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    train = SimpleNamespace(
        max_grad_norm=1.0, weight_decay=0.01, global_batch_size=GLOBAL_BATCH, max_grad_norm_ratio=10.0
    )
    task: Any = SimpleNamespace(
        train=train,
        micro_batch_size=GLOBAL_BATCH // (world_size * num_micro_batches),
        strategy=SimpleNamespace(is_adapter=False, zero_stage=stage),
    )
    kind = PartitionedEngine if stage else ReplicatedEngine
    model = torch.nn.Sequential(*layers).to(getattr(torch, DTYPES[precision]))
    engine = kind(model, task, precision=precision)
    if engine._scale is not None:
        engine._scale.fill_(64.0)  # the usual one is too large for the first steps
    return engine


def train(engine: Any, *, rank: int, num_micro_batches: int = 1, num_steps: int = 1, seed: int = 0) -> None:
    """Updates by random inputs."""
    import torch

    generator = torch.Generator().manual_seed(1000 * seed + rank)  # a thread has no generator of its own
    for _ in range(num_steps):
        for number in range(num_micro_batches):
            inputs = torch.randn(2, 16, generator=generator).to(engine.module[0].weight.dtype)
            loss = engine(input=inputs).float().square().mean()
            engine.backward(loss, last=number == num_micro_batches - 1)
        engine.step(loss.detach().double(), learning_rate=0.01)
