"""State on its way to a checkpoint and back: by parameter name and offset, whatever layout and workers wrote it.

A file holds pieces, each some neighbouring elements of one flattened parameter: its fp32 weight and AdamW's moments.
Before anything is copied, all files together are proved to hold every element of every parameter exactly once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray_ft.errors import TrainingError

MOMENTS = ("exp_avg", "exp_avg_sq")
TENSORS = ("weight", *MOMENTS)


def on_host(state: Any) -> Any:
    """A copy of nested containers with every tensor in host memory; other values are taken as they are.

    A thread can write it while training goes on.
    """
    import torch

    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: on_host(value) for key, value in state.items()}
    if type(state) in (list, tuple):
        return type(state)(on_host(value) for value in state)
    return state


def piece(parameter: Any, weight: Any, state: Mapping[str, Any], *, start: int = 0) -> dict[str, Any]:
    """Elements of `parameter` from `start` on: weight, and the moments in `state`, which is empty before an update."""
    moments = {key: state[key].reshape(-1) for key in MOMENTS if key in state}
    step = {"step": state["step"]} if "step" in state else {}
    return {"shape": list(parameter.shape), "start": start, "weight": weight.detach().reshape(-1), **moments, **step}


class SavedParameters:
    """The pieces of all ranks in a folder. Raises TrainingError, on all ranks alike, where they do not fit `shapes`."""

    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        import torch

        self._folder = folder
        # Mapped, so that each rank reads its own part of all files instead of holding all of them.
        files = [
            torch.load(path, map_location="cpu", weights_only=True, mmap=True) for path in sorted(folder.glob("*.pt"))
        ]
        if not files or any("parameters" not in file for file in files):
            raise self._wrong("it has no parameters by name; an earlier version wrote it")
        self.about: dict[str, Any] = files[0]
        self._pieces: dict[str, list[dict[str, Any]]] = {}
        for file in files:
            for name, values in file["parameters"].items():
                # Revision 0de0c56 wrote whole parameters, in their shape.
                whole = {"shape": list(values["weight"].shape), "start": 0} if "start" not in values else {}
                flat = {key: value.reshape(-1) for key, value in values.items() if key in TENSORS}
                self._pieces.setdefault(name, []).append({**values, **whole, **flat})
        strange, missing = sorted({*self._pieces} - {*shapes}), sorted({*shapes} - {*self._pieces})
        if strange or missing:
            problem = f"{strange[0]} does not train here" if strange else f"{missing[0]} is missing"
            raise self._wrong(problem)
        for name, shape in shapes.items():
            self._pieces[name].sort(key=lambda values: int(values["start"]))
            self._check(name, shape)

    def step(self, name: str) -> Any:
        """How often AdamW has updated a parameter, an fp32 scalar; None for never."""
        return self._pieces[name][0].get("step")

    def copy(self, name: str, key: str, target: Any, *, start: int = 0) -> None:
        """Fill `target`, which is flat, with the elements of a parameter's `weight` or moment from `start` on."""
        for values in self._pieces[name]:
            begins, length = int(values["start"]), len(values[key])
            first, last = max(start, begins), min(start + len(target), begins + length)
            if first < last:
                target[first - start : last - start].copy_(values[key][first - begins : last - begins])

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        """Every element of weight and moments once, in fp32, with one count of updates."""
        import torch

        pieces = self._pieces[name]
        size, end = torch.Size(shape).numel(), 0
        kinds = {frozenset(key for key in (*TENSORS, "step") if key in values) for values in pieces}
        if len(kinds) > 1 or next(iter(kinds)) not in (frozenset({"weight"}), frozenset({*TENSORS, "step"})):
            raise self._wrong(f"{name} has not all of its optimizer's state")
        for values in pieces:
            if list(values["shape"]) != list(shape):
                raise self._wrong(f"{name} has shape {list(values['shape'])} instead of {list(shape)}")
            tensors = [values[key] for key in TENSORS if key in values]
            wrong = [tensor.dtype for tensor in tensors if tensor.dtype != torch.float32]
            if wrong:
                raise self._wrong(f"{name} is saved as {str(wrong[0]).removeprefix('torch.')} instead of float32")
            if len({len(tensor) for tensor in tensors}) > 1:
                raise self._wrong(f"{name} has moments of another length than its weight")
            if (start := int(values["start"])) != end:
                raise self._wrong(f"{name} {'twice has' if start < end else 'lacks'} its element {min(start, end)}")
            end += len(tensors[0])
        if end != size:
            raise self._wrong(f"{name} ends at element {end} of {size}")
        if len({float(values["step"]) for values in pieces if "step" in values}) > 1:
            raise self._wrong(f"{name} has pieces of different steps")

    def _wrong(self, problem: str) -> TrainingError:
        return TrainingError(f"{self._folder} cannot be gone on from: {problem}")
