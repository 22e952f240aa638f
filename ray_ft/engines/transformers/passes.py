"""Passes of the model: which tokens go through it together, and the logits that come out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ray_ft.engines.transformers import attention
from ray_ft.engines.transformers.attention import Pass, Stretch, passing
from ray_ft.engines.transformers.graphs import StepGraphs
from ray_ft.engines.transformers.key_values.cache import KeyValueCache, token_bytes
from ray_ft.engines.transformers.key_values.prefixes import Prefixes
from ray_ft.engines.transformers.rows import Row
from ray_ft.engines.transformers.stack import AdapterStack
from ray_ft.errors import GenerationError, ModelError

if TYPE_CHECKING:
    import torch

GPU_SHARE = 0.85
"""Of the memory that the weights leave; the rest is for passes, adapters and what the driver takes."""
CPU_CACHE_BYTES = 2**33
"""Most that keys and values take without a GPU; memory is only taken as it is written."""
REMEMBERED_BYTES = {"cpu": 2**28, "cuda": 2**62}
"""Most that keys and values of ended answers may keep: all that is free where the memory is taken anyway."""
STRETCH = {"cpu": 512, "cuda": 2048}
"""Prompt tokens that are read at once. Longer prompts are read in stretches of this many, whoever else is there, so
that a prompt's numbers do not depend on its neighbours."""


class Passes:
    """A model with its cache and adapters, of which one thread makes use."""

    def __init__(self, model: Any, *, max_rows: int, max_seq_len: int, model_path: str) -> None:
        self.model = model
        self.stack = AdapterStack(model)
        self.device: torch.device = model.device
        self.stretch = STRETCH[self.device.type]
        self.cache = self._make_cache(max_rows * max_seq_len, model_path)
        self.prefixes = Prefixes(self.cache, max_bytes=REMEMBERED_BYTES[self.device.type] if max_rows > 1 else 0)
        self.graphs: StepGraphs | None = None
        if self.device.type == "cuda":
            self.graphs = StepGraphs(self.forward, self.cache, self.stack, max_rows=max_rows)

    def _make_cache(self, num_tokens: int, model_path: str) -> KeyValueCache:
        """A cache of the shapes that the model's own layers ask for, seen in a pass of two tokens."""
        import torch

        config = self.model.config.get_text_config(decoder=True)
        seen = Pass(cache=None)
        if getattr(self.model, "_supports_attention_backend", False) and not getattr(self.model, "_is_stateful", False):
            attention.register()
            self.model.set_attn_implementation(attention.NAME)
            with passing(seen), torch.inference_mode():
                self.forward(torch.zeros(1, 2, dtype=torch.long, device=self.device), torch.arange(2)[None])
        if sorted(seen.seen) != list(range(config.num_hidden_layers)):
            raise ModelError(
                f"{model_path}: engine transformers cannot answer with a {config.model_type}: {len(seen.seen)} of its "
                f"{config.num_hidden_layers} layers take their attention from transformers' registry"
            )
        shapes = [seen.seen[i] for i in range(config.num_hidden_layers)]
        weight = self.model.get_input_embeddings().weight
        each = token_bytes(shapes, weight.element_size())
        room = CPU_CACHE_BYTES
        if self.device.type == "cuda":
            room = int(torch.cuda.mem_get_info(self.device)[0] * GPU_SHARE)
        if room < each * 2:
            raise ModelError(f"{model_path} leaves no GPU memory for answers; set engine.quantization=nf4 or int8")
        return KeyValueCache(shapes, num_tokens=min(num_tokens, room // each), like=weight)

    def forward(self, ids: "torch.Tensor", positions: "torch.Tensor", keep: Any = 1) -> "torch.Tensor":
        """Logits [kept, vocabulary] of ids [1, tokens]; `keep` as transformers' logits_to_keep."""
        output = self.model(input_ids=ids, position_ids=positions.to(ids.device), use_cache=False, logits_to_keep=keep)
        logits: torch.Tensor = output.logits[0]
        return logits

    def advance(self, rows: Sequence[Row]) -> "tuple[list[Row], torch.Tensor]":
        """Take every answer one token on, and prompts that are read a stretch further.

        Returns the answers whose next token can be chosen now, and their logits [answers, vocabulary].
        """
        steps = [row for row in rows if row.num_cached == len(row.tokens) - 1]
        reading = [row for row in rows if row.num_cached < len(row.tokens) - 1]
        if not reading and self.graphs is not None and (logits := self.graphs.step(steps)) is not None:
            for row in steps:
                row.num_cached += 1
            return steps, logits
        return self._mixed(steps, reading)

    def _mixed(self, steps: list[Row], reading: list[Row]) -> "tuple[list[Row], torch.Tensor]":
        import torch

        ids = [row.tokens[-1] for row in steps]
        places = [row.start + row.num_cached for row in steps]
        positions = [row.num_cached for row in steps]
        names = [row.request.adapter for row in steps]
        done, keep, stretches = list(steps), list(range(len(steps))), list[Stretch]()
        ends: list[tuple[Row, int]] = [(row, row.num_cached + 1) for row in steps]
        for row in reading:
            if len(ids) - len(steps) >= self.stretch:
                break
            first, last = row.num_cached, min(row.num_cached + self.stretch, len(row.tokens))
            stretches.append(Stretch(len(ids), len(ids) + last - first, first, row.start))
            ids += row.tokens[first:last]
            places += range(row.start + first, row.start + last)
            positions += range(first, last)
            names += [row.request.adapter] * (last - first)
            ends.append((row, last))
            if last == len(row.tokens):
                done.append(row)
                keep.append(len(ids) - 1)
        index = torch.tensor([ids, places, positions], device=self.device)
        ahead = torch.tensor([[row.start, row.num_cached + 1] for row in steps], device=self.device).reshape(-1, 2)
        current = Pass(
            cache=self.cache,
            places=index[1],
            num_steps=len(steps),
            starts=ahead[:, 0],
            lengths=ahead[:, 1],
            longest=max((row.num_cached + 1 for row in steps), default=0),
            stretches=tuple(stretches),
        )
        self.stack.choose(names, keep)
        kept = torch.tensor(keep, device=self.device, dtype=torch.long)
        with self._guarded(len(ids)), passing(current), torch.inference_mode():
            logits = self.forward(index[:1], index[2:], kept)
        for row, num_cached in ends:
            row.num_cached = num_cached
        return done, logits

    def scores(
        self, pieces: Sequence[list[int]], names: Sequence[str | None], *, most: int = 0
    ) -> "list[list[tuple[float, list[int], list[float]]]]":
        """ln p of all but the first token of each piece, with the ids and ln p of the `most` likeliest in its place.

        Nothing is kept in the cache.
        """
        import torch

        ids = [i for piece in pieces for i in piece[:-1]]
        wanted = torch.tensor([i for piece in pieces for i in piece[1:]], device=self.device)
        lengths = [len(piece) - 1 for piece in pieces]
        ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        stretches = tuple(Stretch(end - length, end) for end, length in zip(ends, lengths, strict=True))
        positions = torch.cat([torch.arange(length) for length in lengths])[None]
        self.stack.choose([name for name, length in zip(names, lengths, strict=True) for _ in range(length)])
        current = Pass(cache=self.cache, stretches=stretches)
        with self._guarded(len(ids)), passing(current), torch.inference_mode():
            logits = self.forward(torch.tensor([ids], device=self.device), positions, 0)
            told = list[tuple[float, list[int], list[float]]]()
            for some, targets in zip(torch.split(logits, 256), torch.split(wanted, 256), strict=True):
                known = some.float().log_softmax(-1)  # in slices, so that float32 copies of the logits stay small
                own = known.gather(1, targets[:, None])[:, 0]
                values, likeliest = known.topk(min(most, known.shape[1]))
                told += zip(own.tolist(), likeliest.tolist(), values.tolist(), strict=True)
        return [told[end - length : end] for end, length in zip(ends, lengths, strict=True)]

    @contextmanager
    def _guarded(self, num_tokens: int) -> Iterator[None]:
        import torch

        try:
            yield
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            raise GenerationError(
                f"out of GPU memory in a pass of {num_tokens} tokens; lower engine.batch_size"
            ) from None
