"""What planning takes and hands over: the workload, what each candidate would need, and the plan that was chosen."""

from dataclasses import dataclass, field
from typing import Literal

from ray_ft.strategies import Backend, Strategy


@dataclass(frozen=True)
class Workload:
    """What is to be trained, for the estimator."""

    num_tokens: int  # per epoch, padding excluded
    num_epochs: float
    max_seq_len: int
    global_batch_size: int  # packed rows per optimizer step
    mean_example_tokens: float | None = None  # of the example that a token is in, mean over tokens; None: the row
    num_validation_tokens: float = 0.0  # held out, of each evaluation


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU at the phase that binds; `total` is what the device must hold then."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    transient: int
    fixed: int
    total: int
    phase: str
    phases: dict[str, int] = field(default_factory=dict)  # phase -> bytes on the device
    allocated: int = 0  # what tensors take at most, as torch.cuda.max_memory_allocated says
    reserved: int = 0  # what torch takes for them at most, on a GPU with room to spare
    device: int = 0  # the same with the driver's and NCCL's; what is above `total` is given back when memory is short
    parts: dict[str, dict[str, int]] = field(default_factory=dict)  # phase -> its components; of the chosen row


class RunsOn:
    """What names a strategy and a backend: the latter is DeepSpeed wherever nothing else can run the former."""

    strategy: Strategy
    backend: Backend

    def __post_init__(self) -> None:
        if self.strategy.needs_deepspeed:  # said by nobody in a plan that was made before plans named a backend
            object.__setattr__(self, "backend", "deepspeed")


@dataclass(frozen=True)
class Estimate(RunsOn):
    """One candidate of the plan: what it needs, how long it takes, and why it lost (empty for the chosen one)."""

    strategy: Strategy
    num_workers: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    memory: Memory
    host_memory_bytes: int  # per node
    tokens_per_second: float  # all GPUs
    hours: float
    cost: float  # US dollars
    fits: bool
    reason: str = ""
    gpu: str = ""
    host: dict[str, int] = field(default_factory=dict)  # what host_memory_bytes is made of
    backend: Backend = "native"


@dataclass(frozen=True)
class Answering:
    """Bytes on each GPU that evaluation and serving need of the tuned model, at least."""

    engine: str
    num_gpus: int  # that share one copy
    weights: int
    adapters: int
    cache: int  # keys and values of num_tokens
    passes: int
    fixed: int
    limit: int  # that may be used
    num_tokens: int
    refusal: str = ""  # what the adapter will have that the engine does not answer with
    advice: tuple[str, ...] = ()  # settings with which it would fit

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.adapters + self.cache + self.passes + self.fixed

    @property
    def fits(self) -> bool:
        """Whether answering can work."""
        return self.total <= self.limit and not self.refusal


@dataclass(frozen=True)
class Plan(RunsOn):
    """How training will run, and why not otherwise."""

    model: str
    gpu: str
    strategy: Strategy
    num_workers: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    estimate: Estimate
    rejected: tuple[Estimate, ...] = ()
    notes: tuple[str, ...] = ()  # assumptions, e.g. a token count before there is a training set
    memory_limit_bytes: int = 0  # of one GPU (of the host for "cpu"), after plan.headroom_fraction
    flops_per_token: float = 0.0  # that the method needs, nothing computed twice; padding excluded
    peak_flops: float = 0.0  # of one GPU in 16 bits; 0 where it is not known well, as on a CPU
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # that the model computes in; auto: an older plan's
    backend: Backend = "native"
    attention: str = ""  # kernel of ray_ft/kernels/attention.py that time is for; "" on a CPU
    backend_reason: str = ""  # its name and why it was taken; "" in an older plan
    answering: Answering | None = None  # None on a CPU, and where a server answers

    @property
    def runner_up(self) -> Estimate | None:
        """The best of the rows that fit and were not chosen; None where no other does."""
        return next((row for row in self.rejected if row.fits), None)


@dataclass(frozen=True)
class Sizing:
    """The smallest cluster of each kind of GPU that trains a model in time."""

    model: str
    max_hours: float
    clusters: tuple[Estimate, ...]  # fewest GPUs first, of those the cheapest run
    rejected: tuple[Estimate, ...] = ()  # the nearest row of every kind that is not in time or does not fit
    notes: tuple[str, ...] = ()
