"""How much ZeRO moves and keeps at once, from the model's sizes; the trainer sets it and the estimator counts it."""

from dataclasses import dataclass
from functools import cache

from ray_ft.models.shape import ModelShape
from ray_ft.strategies.base import Strategy

FEWEST_LIVE = 1_000_000_000  # parameters that may stay gathered anyway: DeepSpeed's default
OPTIMIZER_GROUP = 1_000_000_000  # parameters that ZeRO-3 steps at once: DeepSpeed's default
BUCKET_BYTES = 25 * 2**20  # of gradients that travel together: fills a link, and the last ends soon after backward
BUCKETS_IN_FLIGHT = 4  # of ZeRO 1 and 2, on their way while the backward pass goes on
UPDATE_ELEMENTS = 2**27  # parameters that ZeRO-0 steps at once: their gradients are in fp32 meanwhile, 512 MiB


@dataclass(frozen=True)
class ZeroSizes:
    """Numbers of parameters."""

    reduce_bucket: int
    """Gradients that are summed over the workers in one go."""
    prefetch: int
    """Weights that ZeRO-3 gathers ahead of their use."""
    persistence: int
    """Smaller weights are never split by ZeRO-3: gathering them would cost more than it saves."""
    live: int
    """Weights that ZeRO-3 keeps gathered, at most."""


@cache
def zero_sizes(shape: ModelShape, strategy: Strategy) -> ZeroSizes:
    """A bucket holds one linear layer's gradients, prefetching reaches one decoder layer ahead.

    DeepSpeed's stock bucket of 5e8 gradients costs 1 GB beside a LoRA that has 4e7; its stock limit of 1e9 gathered
    weights leaves no room to gather ahead where a layer has 8.6e8, as in a 70B model. An adapter's matrices are as
    small as they are many, so all of them stay whole.
    """
    layer = shape.layer_parameters // shape.num_layers
    largest = max(inputs * outputs for inputs, outputs in shape.linears.values())
    widest = max(max(sizes) for sizes in shape.linears.values())
    adapter = getattr(strategy, "r", 0) * widest if strategy.is_adapter else 0
    return ZeroSizes(
        reduce_bucket=max(1, min(strategy.trainable_parameters(shape), largest)),
        prefetch=layer,
        persistence=max(10 * shape.hidden_size, adapter + 1),
        live=max(FEWEST_LIVE, 3 * layer),
    )
