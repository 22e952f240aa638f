"""What other training software does differently from ray_ft, as far as memory depends on it: one profile for each.

Everything here is read in the software's source or documentation; nothing is fitted to the rows.
"""

from dataclasses import dataclass, replace

from bench.estimator.compare.published import Published
from ray_ft.models.shape import ModelShape, load_model_shape
from ray_ft.planning.memory.phases import memory_per_gpu
from ray_ft.planning.memory.stack import Stack
from ray_ft.planning.memory.state import Candidate

GIB = 2**30


@dataclass(frozen=True)
class Profile:
    """A software's habits; the plain ones are those of eager layers in transformers."""

    stack: Stack = Stack(masked_attention=False, optimizer_bytes=4, step_bytes=0, padding_factor=1.0)  # noqa: RUF009
    """Moments in the parameters' own 16 bits and no fp32 copy: AdamW on bf16 parameters."""
    loss_bytes: float = 12.0
    """For each token and vocabulary entry: fp32 log-probabilities, their gradient and the logits'."""
    compiled_loss_bytes: float = 10.0
    """With torch.compile of layers and loss: fp32 logits and their gradient, and that in 16 bits."""
    chunked_loss_bytes: float = 2.25
    """With chunks of an eighth: all logits in 16 bits, and the gradient of one chunk."""
    keeps_quantised_inputs: bool = False
    """Older versions of bitsandbytes kept the inputs of 4-bit products."""
    repeats_keys: bool = False
    """Keys and values are repeated for all query heads before attention, which then keeps them so."""
    quantises_head: bool = False
    """The output head is in 4 bits too."""
    zero3_bytes: int | None = None
    """Gathered weights and buckets of ZeRO-3; None: as ray_ft sets them."""
    reserved_ratio: float = 1.0
    """Reserved over allocated memory."""
    reserved_ratio_varying: float = 1.07
    """The same where the length of rows varies."""
    context_bytes: int = GIB // 2
    nccl_bytes: int = GIB // 2


PROFILES = {
    "torchtune": Profile(repeats_keys=True),
    "litgpt": Profile(keeps_quantised_inputs=True, quantises_head=True),
    # The documentation's DeepSpeed configuration leaves sizes to DeepSpeed: 1e9 live parameters and a bucket of 5e8.
    "peft": Profile(
        stack=Stack(masked_attention=False, padding_factor=1.0), zero3_bytes=2 * (1_000_000_000 + 500_000_000)
    ),
}


def predicted_bytes(row: Published) -> float | None:
    """Of the row's metric; None where the row does not say enough or the software has no profile."""
    profile = PROFILES.get(row.stack)
    if profile is None or not row.sequence:
        return None
    shape = load_model_shape(row.model)
    strategy = row.strategy()
    if "inference" in row.options:
        return float(_quantised_weights(shape, row, profile))
    accumulation = 4 if "accumulate" in row.options else 1
    candidate = Candidate(strategy, row.gpus, row.micro_batch, accumulation, row.checkpointing)
    memory = memory_per_gpu(shape, candidate, max_seq_len=row.sequence, stack=_stack(row, profile), detailed=True)
    phases = {name: dict(parts) for name, parts in memory.parts.items()}
    tokens = row.micro_batch * row.sequence
    kept_layers = 1 if row.checkpointing else shape.num_layers
    extra = tokens * kept_layers * _more_per_token(shape, row, profile)
    head = 2 * shape.head_parameters if strategy.trains_head(shape) else 0
    for name in ("loss", "backward start", "backward end"):
        parts = phases[name]
        if name != "backward end" or row.checkpointing:
            parts["activations"] += 0 if name == "loss" and row.checkpointing else extra
        if "in_backward" in row.options:  # a gradient goes as soon as it is there
            parts["gradients"] = head if name != "backward end" else 0
    if profile.quantises_head and strategy.is_quantised:
        for parts in phases.values():
            parts["weights"] -= _saved_by_packed_head(shape, row)
        # The head's weight comes back whole in place of a layer's.
        phases["loss"]["transient"] += 2 * (shape.head_parameters - max(i * o for i, o in shape.linears.values()))
    phases["loss"]["logits"] = round(_loss_bytes(row, profile) * shape.vocab_size * tokens)
    if profile.zero3_bytes is not None and row.gpus > 1:
        for parts in phases.values():
            shard = strategy.weight_bytes(shape) // row.gpus
            parts["weights"] = min(parts["weights"], shard + profile.zero3_bytes)
    counted = ["loss", "backward start", "backward end"]
    counted += [] if "in_backward" in row.options else ["optimizer step"]
    peak = max(sum(size for part, size in phases[name].items() if part != "fixed") for name in counted)
    predicted = _as_metric(peak, row, profile, varying="varying" in row.options)
    if strategy.is_quantised and row.gpus > 1:  # each GPU quantises the whole base before it is split
        predicted = max(predicted, _as_metric(memory.parts["load"]["weights"], row, profile, varying=False))
    return predicted


def _stack(row: Published, profile: Profile) -> Stack:
    stack = profile.stack
    if "compile" in row.options and not row.checkpointing:
        stack = replace(stack, kernels=True)
    if "paged_adam" in row.options:  # moments in memory that the driver moves out
        stack = replace(stack, optimizer_bytes=0)
    return stack


def _loss_bytes(row: Published, profile: Profile) -> float:
    if "chunked" in row.options:
        return profile.chunked_loss_bytes
    return profile.compiled_loss_bytes if "compile" in row.options else profile.loss_bytes


def _more_per_token(shape: ModelShape, row: Published, profile: Profile) -> int:
    """Of one layer, beside what transformers' keeps."""
    more = 0
    if profile.repeats_keys:
        more += 2 * 2 * (shape.query_size - shape.key_size)
    if profile.keeps_quantised_inputs and row.method == "qlora":  # of attention, the MLP, and its product
        more += 2 * (2 * shape.hidden_size + shape.intermediate_size)
    return more


def _quantised_weights(shape: ModelShape, row: Published, profile: Profile) -> int:
    strategy = row.strategy()
    whole = strategy.weight_bytes(shape) - 2 * strategy.trainable_parameters(shape)
    return whole - (_saved_by_packed_head(shape, row) if profile.quantises_head else 0)


def _saved_by_packed_head(shape: ModelShape, row: Published) -> int:
    """Half a byte for each weight and 4 bytes, or with double quantisation 1 and a little, for every 64."""
    packed = 0.5 + (1 / 64 + 4 / (64 * 256) if "double_quant" in row.options else 4 / 64)
    return round((2 - packed) * shape.head_parameters)


def _as_metric(allocated: float, row: Published, profile: Profile, *, varying: bool) -> float:
    if row.metric in ("active", "allocated"):
        return allocated
    ratio = profile.reserved_ratio_varying if varying else profile.reserved_ratio
    reserved = allocated * ratio
    if row.metric == "reserved":
        return reserved
    return reserved + profile.context_bytes + (profile.nccl_bytes if row.gpus > 1 else 0)
