"""A plan as text for the terminal: the chosen row, where its memory goes, and why each other row lost."""

import dataclasses
import textwrap

from ray_ft.artifacts import Estimate, Memory, Plan, Sizing
from ray_ft.hardware import GIB
from ray_ft.planning.choice.estimate import gib

WIDTH = 120
BAR = 40
COMPONENTS = ("weights", "gradients", "optimizer", "activations", "logits", "transient", "fixed")


def render_plan(plan: Plan) -> str:
    """The whole plan, at most WIDTH columns wide, without a final newline."""
    blocks = [render_choice(plan), _memory(plan), _candidates(plan), _notes(plan)]
    return "\n\n".join(block for block in blocks if block)


def render_choice(plan: Plan) -> str:
    """What was chosen, on what, and how long it takes."""
    row = plan.estimate
    rows = plan.num_workers * plan.micro_batch_size * plan.gradient_accumulation_steps
    where = "CPU" if plan.gpu == "cpu" else f"{plan.num_workers} x {plan.gpu}"
    batch = (
        f"{_count(plan.num_workers, 'worker')} x micro-batch {plan.micro_batch_size} x "
        f"{_count(plan.gradient_accumulation_steps, 'accumulation step')} = {_count(rows, 'row')} per optimizer step"
    )
    checkpointing = "with" if plan.gradient_checkpointing else "without"
    return "\n".join(
        [
            f"{plan.model} on {where}: {_strategy(row)}",
            f"  batch   {batch}, {checkpointing} gradient checkpointing",
            f"  speed   {row.tokens_per_second:,.0f} tokens/s",
            f"  time    {_hours(row.hours)}" + (f", {row.cost:,.2f} USD" if row.cost > 0 else ""),
            f"  host    {_size(row.host_memory_bytes)} of host memory per node{_largest_on_host(row)}",
            *(_wrapped("  backend ", plan.backend_reason) if plan.backend_reason else []),
            *(_wrapped("  next    ", _runner_up(plan.runner_up)) if plan.runner_up else []),
        ]
    )


def _largest_on_host(row: Estimate) -> str:
    """The largest parts of host memory, where there is more than processes."""
    parts = sorted(((size, name) for name, size in row.host.items()), reverse=True)[:2]
    return f": {', '.join(f'{name} {_size(size)}' for size, name in parts)}" if len(row.host) > 1 else ""


def _runner_up(row: Estimate) -> str:
    where = "CPU" if row.gpu == "cpu" else f"{row.num_workers} x {row.gpu}"
    text = f"{_strategy(row)} on {where}: {_hours(row.hours)}" + (f", {row.cost:,.2f} USD" if row.cost > 0 else "")
    return f"{text} ({row.reason})"


def render_sizing(sizing: Sizing) -> str:
    """The smallest cluster of each kind of GPU, at most WIDTH columns wide, without a final newline."""
    first = sizing.clusters[0]
    lines = [
        f"{sizing.model} in at most {sizing.max_hours:g} hours: {first.num_workers} x {first.gpu}, {_strategy(first)}",
        "",
        f"  {'GPUs':<17}{'strategy':<9}{'ZeRO':<5}{'backend':<10}{'offload':<10}{'batch':<7}{'ckpt':<5}"
        f"{'GiB':>6}{'hours':>7}{'USD':>8}  result",
    ]
    for row in (*sizing.clusters, *sizing.rejected):
        left = (
            f"{'>' if row is first else ' '} {f'{row.num_workers} x {row.gpu}':<17}{row.strategy.name:<9}"
            f"{row.strategy.zero_stage:<5}{row.backend:<10}{row.strategy.offload:<10}"
            f"{f'{row.micro_batch_size}x{row.gradient_accumulation_steps}':<7}"
            f"{'yes' if row.gradient_checkpointing else 'no':<5}"
            f"{gib(row.memory.total):>6}{_short(row.hours):>7}{_short(row.cost):>8}  "
        )
        lines += _wrapped(left, row.reason or "in time")
    notes = [line for note in sizing.notes for line in _note(note)]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _wrapped(left: str, text: str) -> list[str]:
    """`text` to the right of `left`, in as many lines as it needs."""
    wrapped = textwrap.wrap(text, WIDTH - len(left), break_on_hyphens=False) or [""]
    return [(left + wrapped[0]).rstrip(), *(" " * len(left) + more for more in wrapped[1:])]


def _note(note: str) -> list[str]:
    return textwrap.wrap(note, WIDTH, initial_indent="* ", subsequent_indent="  ")


def _memory(plan: Plan) -> str:
    """One bar per component of the phase that binds, to the scale of the memory that may be used."""
    memory = plan.estimate.memory
    limit = max(plan.memory_limit_bytes, memory.total)
    per = "worker" if plan.gpu == "cpu" else "GPU"
    free = limit - memory.total
    sizes = [(name, getattr(memory, name), "█") for name in COMPONENTS] + [("free", free, "░")]
    lines = [f"Memory per {per}: {_size(memory.total)} of {_size(limit)} usable, most at {memory.phase}"]
    lines += [f"  {name:<12}{_size(size):>10}  {bar * round(BAR * size / limit)}".rstrip() for name, size, bar in sizes]
    return "\n".join([*lines, _phases(memory)])


def _phases(memory: Memory) -> str:
    text = "GiB by phase: " + ", ".join(f"{name} {gib(size)}" for name, size in memory.phases.items())
    return "\n".join(textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    "))


def _candidates(plan: Plan) -> str:
    rows = [dataclasses.replace(plan.estimate, reason="chosen"), *plan.rejected]
    wide = max((len(row.gpu) for row in rows), default=0) + 1 if len({row.gpu for row in rows}) > 1 else 0
    lines = [
        f"  {'strategy':<9}{'ZeRO':<5}{'backend':<10}{'offload':<10}{'GPU'[:wide]:<{wide}}{'workers':<8}{'batch':<7}"
        f"{'ckpt':<5}{'GiB':>6}{'hours':>7}{'USD':>8}  result"
    ]
    for index, row in enumerate(rows):
        strategy = row.strategy
        batch = f"{row.micro_batch_size}x{row.gradient_accumulation_steps}"
        again = "yes" if row.gradient_checkpointing else "no"
        left = (
            f"{'>' if index == 0 else ' '} {strategy.name:<9}{strategy.zero_stage:<5}{row.backend:<10}"
            f"{strategy.offload:<10}{row.gpu[:wide]:<{wide}}{row.num_workers:<8}{batch:<7}{again:<5}"
            f"{gib(row.memory.total):>6}{_short(row.hours):>7}{_short(row.cost):>8}  "
        )
        lines += _wrapped(left, row.reason)
    return "\n".join(lines)


def _notes(plan: Plan) -> str:
    return "\n".join(line for note in plan.notes for line in _note(note))


def _strategy(row: Estimate) -> str:
    offloaded = {"none": "", "optimizer": ", optimizer offloaded", "all": ", weights and optimizer offloaded"}
    by = " by DeepSpeed" if row.backend == "deepspeed" else ""
    return f"{row.strategy.name}, ZeRO-{row.strategy.zero_stage}{by}{offloaded[row.strategy.offload]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _size(num_bytes: float) -> str:
    """MiB below a tenth of a GiB."""
    return f"{gib(num_bytes)} GiB" if num_bytes >= GIB / 10 else f"{num_bytes / 2**20:.0f} MiB"


def _hours(hours: float) -> str:
    """Minutes below two hours."""
    return f"{hours:,.1f} hours" if hours >= 2 else f"{max(1, round(60 * hours))} min"


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 100 else f"{number:,.0f}"
