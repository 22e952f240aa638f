"""What process.py starts: one request as a line of JSON on standard input, one answer as a line on standard output."""

import gc
import importlib
import json
import os
import sys
import time
import warnings
from collections import Counter
from typing import Any

from ray_ft.errors import RayFTError
from ray_ft.planning.trace.request import Line, TraceRequest, TraceResult, request_from_json

HEAVY = (
    "torch",
    "torch._dynamo",
    "torch._functorch.aot_autograd",
    "transformers.modeling_layers",
    "ray_ft.planning.trace.step",
)
"""Imported before anyone has asked."""


def main() -> int:
    warnings.filterwarnings("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints goes to the log
    gc.disable()  # half a second of looking through modules; what a trace drops goes by its count of references
    for name in HEAVY:
        importlib.import_module(name)
    for line in sys.stdin:
        try:
            answer = trace(request_from_json(line)).to_json()
        except RayFTError as error:
            answer = json.dumps({"error": str(error)})
        answers.write(answer + "\n")
        answers.flush()
        gc.collect()
    return 0


def trace(request: TraceRequest) -> TraceResult:
    """Lines through the bytes of a few layers and of one more; every kind of layer counts as often as the model has it.

    Which layers there are, and how many parameters, is asked of the whole model on the meta device.
    """
    import torch._functorch.config
    from torch._subclasses.fake_tensor import FakeTensorMode

    from ray_ft.planning.trace.step import trace_step, whole_model

    started = time.monotonic()
    kinds, num_parameters = whole_model(request)
    few = _few(kinds, at_least=4 if request.offloaded else 2)  # fetching ahead reaches over two layers
    mode, traced = FakeTensorMode(allow_non_fake_inputs=True), dict[Any, Any]()
    # Looking for equal subexpressions changes no tensor here and imports half of Inductor: two seconds.
    with torch._functorch.config.patch(cse=False):
        low = trace_step(request, _layers_of(few, kinds), mode=mode, traced=traced)
        slopes = {}
        for kind, count in Counter(kinds).items():
            if more := count - few.count(kind):
                place = few.index(kind)
                high = trace_step(request, _layers_of([*few[:place], kind, *few[place:]], kinds), mode=mode,
                                  traced=traced)  # fmt: skip
                slopes[kind] = more, {name: high.get(name, value) - value for name, value in low.items()}
    lines = {}
    for name, value in low.items():
        whole = value + sum(more * slope[name] for more, slope in slopes.values())
        missing = sum(more for more, _ in slopes.values())
        mean = (whole - value) // missing if missing else 0
        lines[name] = Line(whole - mean * len(kinds), mean)
    return TraceResult(
        num_layers=len(kinds),
        weights=lines.pop("weights"),
        trained=lines.pop("trained"),
        phases={name: line for name, line in lines.items() if name},
        num_parameters=num_parameters,
        seconds=round(time.monotonic() - started, 2),
    )


def _few(kinds: list[Any], *, at_least: int) -> list[Any]:
    """A short model with every kind of layer, that begins and ends as the whole one does."""
    distinct = list(dict.fromkeys(kinds))
    each = -(-at_least // len(distinct))
    few = [kind for kind in distinct for _ in range(min(each, kinds.count(kind)))]
    return few if few[-1] == kinds[-1] else [*few, kinds[-1]]


def _layers_of(few: list[Any], kinds: list[Any]) -> list[int]:
    """The first layers of the whole model that are of these kinds, one after the other."""
    places = {kind: [i for i, other in enumerate(kinds) if other == kind] for kind in set(few)}
    return [places[kind].pop(0) for kind in few]


if __name__ == "__main__":
    sys.exit(main())
