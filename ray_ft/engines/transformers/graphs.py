"""Steps of open answers as CUDA graphs: a small batch waits for its kernels' launches longer than for the kernels.

A graph is recorded for a number of rows when so many are first open, with the stacked adapters or without, and played
from then on; rows that are missing to its number are filled up with ones that belong to nobody.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ray_ft.engines.transformers.attention import Pass, passing
from ray_ft.engines.transformers.key_values.cache import KeyValueCache
from ray_ft.engines.transformers.rows import Row
from ray_ft.engines.transformers.stack import AdapterStack, Tokens
from ray_ft.kernels.compiler import can_build_kernels

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class StepGraphs:
    """The recorded steps of one model."""

    def __init__(
        self, forward: "Callable[..., torch.Tensor]", cache: KeyValueCache, stack: AdapterStack, *, max_rows: int
    ) -> None:
        """`forward` gives logits of ids and positions, each [1, tokens], and which of them to keep, 0 for all."""
        import torch

        self._forward = forward
        self._cache = cache
        self._stack = stack
        self._sizes = [n for n in (1, 2, 4, *range(8, 64, 8), *range(64, max_rows, 16)) if n < max_rows] + [max_rows]
        # what each row brings: its token, its place, its position, its first place, its length
        self._given = torch.zeros(5, max_rows, dtype=torch.long).pin_memory()
        self._index = torch.zeros(5, max_rows, dtype=torch.long, device=cache.device)
        self._columns: torch.Tensor | None = None  # [rows, columns]
        self._names: list[str | None] = []  # whose columns stand there
        self._layout = -1
        self._recorded: dict[tuple[int, bool], tuple[Any, torch.Tensor]] = {}
        self._is_off = not can_build_kernels()

    def step(self, rows: Sequence[Row]) -> "torch.Tensor | None":
        """Logits [rows, vocabulary] after one more token of each; None where a plain pass has to do it."""
        stack = self._stack
        names = [row.request.adapter for row in rows]
        if self._is_off or not all(stack.resident[name].adapter.is_plain for name in names if name is not None):
            return None
        size = next(n for n in self._sizes if n >= len(rows))
        has_adapters = any(name is not None for name in names)
        given = self._given[:, :size]
        given.zero_()
        given[4] = 1
        given[:, : len(rows)] = given.new_tensor(
            [
                [row.tokens[-1] for row in rows],
                [row.start + row.num_cached for row in rows],
                [row.num_cached for row in rows],
                [row.start for row in rows],
                [row.num_cached + 1 for row in rows],
            ]
        )
        self._index[:, :size].copy_(given, non_blocking=True)
        if has_adapters:
            self._place_columns(names)
        if (size, has_adapters) not in self._recorded and not self._record(size, has_adapters=has_adapters):
            return None
        graph, logits = self._recorded[size, has_adapters]
        graph.replay()
        return logits[: len(rows)]

    def _place_columns(self, names: list[str | None]) -> None:
        import torch

        stack = self._stack
        if self._layout != stack.num_layouts:  # the matrices lie elsewhere: what was recorded with them is void
            self._recorded = {key: graph for key, graph in self._recorded.items() if not key[1]}
            self._columns = stack.mask_row(None).expand(self._index.shape[1], -1).clone()
            self._layout, self._names = stack.num_layouts, []
        if self._names == (key := [*names, str(stack.num_installed)]):
            return
        assert self._columns is not None
        table = {name: i for i, name in enumerate(dict.fromkeys(names))}
        masks = torch.stack([stack.mask_row(name) for name in table])
        self._columns[: len(names)] = masks[torch.tensor([table[name] for name in names], device=masks.device)]
        self._names = key

    def _record(self, size: int, *, has_adapters: bool) -> bool:
        """Run such a step once plainly, then once more while it is recorded; False where it cannot be."""
        import torch

        stack = self._stack
        ids, places, positions, starts, lengths = self._index[:, :size]
        current = Pass(cache=self._cache, places=places, num_steps=size, starts=starts, lengths=lengths)
        stack.tokens = stack.kept = Tokens(self._columns[:size] if self._columns is not None and has_adapters else None)
        graph = torch.cuda.CUDAGraph()
        try:
            with passing(current), torch.inference_mode():
                side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    self._forward(ids[None], positions[None], 0)
                torch.cuda.current_stream().wait_stream(side)
                pool = next((g.pool() for g, _ in self._recorded.values()), None)
                with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                    logits = self._forward(ids[None], positions[None], 0)
        except RuntimeError as error:  # a layer that talks with the CPU midway
            logger.warning("steps are not recorded as CUDA graphs, which makes few answers slow: %s", error)
            torch.cuda.synchronize()
            self._is_off = True
            return False
        self._recorded[size, has_adapters] = graph, logits
        return True
