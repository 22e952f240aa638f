"""Several ranks in this process, one a thread: collectives without other processes, as torch's own tests have them."""

import threading
from collections.abc import Callable
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
