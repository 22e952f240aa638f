"""Adapters side by side beside their base: one pass answers for many of them.

The factors of all adapters that are in use stand in two matrices a layer, every adapter in columns of its own. A token
takes part in its adapter's columns alone, by a mask, so that what others ask changes nothing for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ray_ft.engines.transformers.adapters import Adapter
from ray_ft.engines.transformers.key_values.cache import Ranges

if TYPE_CHECKING:
    import torch


@dataclass
class Tokens:
    """Who asks for each token of a pass, or for each that goes through the head."""

    columns: "torch.Tensor | slice | None" = None  # mask [tokens, columns]; one adapter's columns; None: all the base's
    magnitudes: "torch.Tensor | None" = None  # [tokens] row of each in the layers' magnitudes
    own: "dict[str, torch.Tensor]" = field(default_factory=dict)  # tokens of adapters with matrices of their own


@dataclass(eq=False)
class Resident:
    """An adapter in the stack: its columns, its row of magnitudes, and who needs it."""

    adapter: Adapter
    start: int
    magnitude: int
    last_used: int = 0


class AdapterStack:
    """The adapters beside a loaded base; all methods belong to the thread that runs the model."""

    def __init__(self, base: Any) -> None:
        self._base = base
        self._modules = dict(base.named_modules())
        head = base.get_output_embeddings()
        self._head_name = next((name for name, module in self._modules.items() if module is head), "")
        self._columns = Ranges(0)
        self._factors: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}  # A [columns, in], B [columns, out]
        self._magnitudes: dict[str, torch.Tensor] = {}  # [rows, out]; row 0 is the base's, all ones
        self._matrices: dict[str, dict[str, torch.Tensor]] = {}  # by module, then by adapter
        self._hooked: set[str] = set()
        self._free_magnitudes: list[int] = []
        self._num_magnitudes = 1
        self.resident: dict[str, Resident] = {}
        self.tokens = Tokens()  # of the next pass
        self.kept = Tokens()  # those of them that go through the head
        self.num_layouts = 0  # how often the matrices moved: graphs of an earlier layout are void
        self.num_installed = 0  # how often an adapter came in: columns may be another's now

    # --- who is in ----------------------------------------------------------------------------------------------------

    def install(self, adapter: Adapter) -> None:
        """Copy an adapter's tensors to the device, into columns of its own."""
        start = self._columns.take(adapter.rank)
        if start is None:
            self._grow(adapter.rank)
            start = self._columns.take(adapter.rank)
        assert start is not None
        magnitude = 0
        if adapter.magnitudes:
            magnitude = self._free_magnitudes.pop() if self._free_magnitudes else self._new_magnitude()
        self.num_installed += 1
        place = Resident(adapter, start, magnitude)
        self.resident[adapter.name] = place
        for name, (a, b) in adapter.factors.items():
            self._hook(name)
            stacked_a, stacked_b = self._factors.get(name) or self._make(name)
            stacked_a[start : start + len(a)], stacked_b[start : start + len(b)] = a, b
        for name, factor in adapter.magnitudes.items():
            self._magnitude_rows(name)[magnitude] = factor
        for name, matrix in adapter.matrices.items():
            self._hook(name)
            device = self._modules[name].weight.device
            self._matrices.setdefault(name, {})[adapter.name] = matrix.to(device)

    def remove(self, name: str) -> None:
        """Free an adapter's columns; they are zero again, so that nothing of it is left."""
        place = self.resident.pop(name)
        end = place.start + place.adapter.rank
        for key in place.adapter.factors:
            for stacked in self._factors[key]:
                stacked[place.start : end] = 0
        self._columns.give_back(place.start, place.adapter.rank)
        if place.magnitude:
            for rows in self._magnitudes.values():
                rows[place.magnitude] = 1
            self._free_magnitudes.append(place.magnitude)
        for matrices in self._matrices.values():
            matrices.pop(name, None)

    @property
    def num_columns(self) -> int:
        """Width of the stacked factors."""
        return self._columns.size

    # --- who asks -----------------------------------------------------------------------------------------------------

    def choose(self, names: Sequence[str | None], kept: Sequence[int] | None = None) -> None:
        """The next pass has tokens of these adapters, None for the base; tokens `kept` go through the head."""
        self.tokens = self._tokens(names)
        self.kept = self.tokens if kept is None else self._tokens([names[i] for i in kept])

    def mask_row(self, name: str | None) -> "torch.Tensor":
        """One token's columns, [columns] of zeros and ones."""
        row = self._like().new_zeros(self.num_columns)
        if name is not None:
            place = self.resident[name]
            row[place.start : place.start + place.adapter.rank] = 1
        return row

    def _tokens(self, names: Sequence[str | None]) -> Tokens:
        import torch

        asked = list(dict.fromkeys(names))
        places = [self.resident[name] for name in asked if name is not None]
        if not places:
            return Tokens()
        like = self._like()
        rows = {name: i for i, name in enumerate(asked)}
        which = torch.tensor([rows[name] for name in names], device=like.device)
        tokens = Tokens()
        if len(asked) == 1:
            tokens.columns = slice(places[0].start, places[0].start + places[0].adapter.rank)
        else:
            tokens.columns = torch.stack([self.mask_row(name) for name in asked])[which]
        if any(place.magnitude for place in places):
            row = {name: self.resident[name].magnitude if name is not None else 0 for name in asked}
            tokens.magnitudes = torch.tensor([row[name] for name in names], device=like.device)
        for place in places:
            if place.adapter.matrices:
                name = place.adapter.name
                tokens.own[name] = (which == rows[name]).nonzero()[:, 0]
        return tokens

    # --- the layers ---------------------------------------------------------------------------------------------------

    def _hook(self, name: str) -> None:
        """Let a module of the base ask the stack for what adapters add to it."""
        if name in self._hooked:
            return
        self._hooked.add(name)
        module = self._modules[name]
        plain = module.forward
        is_linear = hasattr(module, "in_features")

        def forward(x: "torch.Tensor", *args: Any, **kwargs: Any) -> "torch.Tensor":
            tokens = self.kept if name == self._head_name else self.tokens
            out: torch.Tensor = plain(x, *args, **kwargs)
            if tokens.own and name in self._matrices:
                out = self._with_own(name, tokens, x, out, plain)
            if tokens.columns is None or not is_linear or name not in self._factors:
                return out
            return self._with_factors(name, tokens.columns, tokens.magnitudes, x, out)

        module.forward = forward

    def _with_factors(
        self,
        name: str,
        columns: "torch.Tensor | slice",
        magnitudes: "torch.Tensor | None",
        x: "torch.Tensor",
        out: "torch.Tensor",
    ) -> "torch.Tensor":
        import torch

        a, b = self._factors[name]
        flat = out.view(-1, out.shape[-1])
        x = x.reshape(-1, x.shape[-1])
        if magnitudes is not None and name in self._magnitudes:
            factor, bias = self._magnitudes[name][magnitudes], self._modules[name].bias
            # DoRA scales what the weight gives, not the bias (arXiv 2402.09353)
            flat = flat * factor if bias is None else (flat - bias) * factor + bias
        if isinstance(columns, slice):
            return torch.addmm(flat, x @ a[columns].t(), b[columns]).view(out.shape)
        return torch.addmm(flat, (x @ a.t()) * columns, b).view(out.shape)

    def _with_own(
        self, name: str, tokens: Tokens, x: "torch.Tensor", out: "torch.Tensor", plain: Any
    ) -> "torch.Tensor":
        """Tokens whose adapter has this matrix to itself go through the module with it instead of the base's."""
        module = self._modules[name]
        for adapter, places in tokens.own.items():
            matrix = self._matrices[name].get(adapter)
            if matrix is None or not len(places):
                continue
            weight, module.weight = module.weight, _parameter(matrix)
            try:
                out[:, places] = plain(x[:, places])
            finally:
                module.weight = weight
        return out

    # --- room ---------------------------------------------------------------------------------------------------------

    def _grow(self, wanted: int) -> None:
        """Twice as many columns, or as many as are wanted."""
        old = self._columns.size
        self._columns.grow(max(2 * old, old + wanted))
        self.num_layouts += 1
        for name, (a, b) in list(self._factors.items()):
            new_a, new_b = self._make(name)
            new_a[:old], new_b[:old] = a, b

    def _make(self, name: str) -> "tuple[torch.Tensor, torch.Tensor]":
        module, like = self._modules[name], self._like()
        size = self._columns.size
        self._factors[name] = like.new_zeros(size, module.in_features), like.new_zeros(size, module.out_features)
        self.num_layouts += 1
        return self._factors[name]

    def _new_magnitude(self) -> int:
        import torch

        self._num_magnitudes += 1
        for name, rows in self._magnitudes.items():
            self._magnitudes[name] = torch.cat([rows, rows.new_ones(1, rows.shape[1])])
        return self._num_magnitudes - 1

    def _magnitude_rows(self, name: str) -> "torch.Tensor":
        if name not in self._magnitudes:
            self._magnitudes[name] = self._like().new_ones(self._num_magnitudes, self._modules[name].out_features)
        return self._magnitudes[name]

    def _like(self) -> "torch.Tensor":
        embedding: torch.Tensor = self._base.get_input_embeddings().weight
        return embedding


def _parameter(matrix: "torch.Tensor") -> Any:
    import torch

    return torch.nn.Parameter(matrix, requires_grad=False)
