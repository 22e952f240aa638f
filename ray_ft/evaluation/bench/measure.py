"""What happens in a variant's own process: it is loaded, timed, asked the exam, and its memory is looked at."""

import random
import string
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray_ft.engines import GenerateRequest, LoadedModel, TextDelta
from ray_ft.errors import ConfigError, RayFTError, first_line
from ray_ft.evaluation.bench.variants import Load
from ray_ft.evaluation.exam.tasks import TUNED, Done, Task
from ray_ft.evaluation.systems.prompts import perform

IN_GPU_TENSORS = (
    "bytes of GPU memory that torch has allocated; the peak holds the keys and values that the engine reserves"
)
IN_GPU_DEVICE = (
    "bytes of GPU memory in use, of all processes: vLLM takes engine.gpu_memory_fraction of it, needed or not"
)
IN_PROCESS = "bytes of the process that are resident, above those before loading: torch and Ray are left out"


@dataclass(frozen=True)
class Lengths:
    """What is timed."""

    prompt_tokens: int
    new_tokens: int
    batch_size: int
    repeats: int
    seed: int


@dataclass(frozen=True)
class Measured:
    """What came of it; `refused` says why nothing did."""

    refused: str = ""
    load_seconds: float = 0.0
    memory: Mapping[str, int] = field(default_factory=dict)
    memory_meaning: str = ""
    device: str = ""
    has_bf16: bool = True  # else the GPU is an older one, and auto means fp16
    first: Mapping[int, list[float]] = field(default_factory=dict)  # batch size -> seconds of each repeat
    per_token: Mapping[int, list[float]] = field(default_factory=dict)
    per_second: Mapping[int, list[float]] = field(default_factory=dict)
    done: tuple[Done, ...] = ()
    exam_seconds: float = 0.0


class Measurer:
    """An actor, so that nothing of another variant is in its process."""

    def measure(self, load: Load, lengths: Lengths, questions: Sequence[str], settings: Mapping[str, Any]) -> Measured:
        """All figures; what a user can act on comes back as a refusal, and so does what a library cannot do here."""
        try:
            return measure(load, lengths, questions, settings)
        except RayFTError as error:
            return Measured(refused=str(error))
        except Exception as error:  # a quantisation that has no kernels for this machine, in whatever way it says so
            return Measured(refused=f"{type(error).__name__}: {first_line(error)}")


def measure(load: Load, lengths: Lengths, questions: Sequence[str], settings: Mapping[str, Any]) -> Measured:
    """In this process. `settings` are chat_template, system_prompt and max_new_tokens, as evaluation has them.

    Raises ConfigError where prompt and answer are longer than the model's context, and what the engine raises.
    """
    import torch
    import transformers  # noqa: F401  so that loading is not charged with importing it

    memory = _Memory(in_other_processes=load.engine.name == "vllm")
    started = time.perf_counter()
    model = load.engine.load(load.model_path, dict(load.adapters), chat_template=settings["chat_template"])
    load_seconds = time.perf_counter() - started
    try:
        room = model.max_seq_len
        if lengths.prompt_tokens + lengths.new_tokens > room:
            raise ConfigError(
                f"bench.prompt_tokens: {lengths.prompt_tokens} and bench.new_tokens={lengths.new_tokens} are more than "
                f"the model's context of {room}"
            )
        adapter = TUNED if load.adapters else None
        prompts = _Prompts(model, lengths)
        _seconds(model, prompts.draw(1), adapter, 1)  # an adapter comes in with the first that asks for it
        memory.loaded(model.status().cache_bytes)
        first, per_token, per_second = {}, {}, {}
        for size in (1, lengths.batch_size):
            _seconds(model, prompts.draw(size), adapter, lengths.new_tokens)  # kernels and graphs are made here
            ones, tokens, rates = [], [], []
            for _ in range(lengths.repeats):
                to_first, _ = _seconds(model, prompts.draw(size), adapter, 1)
                to_last, wall = _seconds(model, prompts.draw(size), adapter, lengths.new_tokens)
                ones.append(to_first)
                tokens.append((to_last - to_first) / (lengths.new_tokens - 1))
                rates.append(size * lengths.new_tokens / wall)
            first[size], per_token[size], per_second[size] = ones, tokens, rates
        tasks = [Task(index=i, kind="question", system=load.system, text=text) for i, text in enumerate(questions)]
        started = time.perf_counter()
        done = perform(
            tasks, model, tuned_adapter=adapter, system_prompt=settings["system_prompt"],
            max_new_tokens=settings["max_new_tokens"],
        )  # fmt: skip
        exam_seconds = time.perf_counter() - started
        found = memory.ended()
    finally:
        model.close()
    device, has_bf16 = f"CPU, {torch.get_num_threads()} threads", True
    if torch.cuda.is_available():
        device, has_bf16 = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(including_emulation=False)
    return Measured(
        "", load_seconds, found, memory.meaning, device, has_bf16, first, per_token, per_second, tuple(done),
        exam_seconds,
    )  # fmt: skip


class _Prompts:
    """Prompts of the same length, never the same twice: what was read before would not be read again."""

    def __init__(self, model: LoadedModel, lengths: Lengths) -> None:
        self._model, self._length = model, lengths.prompt_tokens
        self._draw = random.Random(lengths.seed)

    def draw(self, count: int) -> list[tuple[int, ...]]:
        """So many."""
        return [self._one() for _ in range(count)]

    def _one(self) -> tuple[int, ...]:
        ids: list[int] = []
        while len(ids) < self._length:
            words = ("".join(self._draw.choices(string.ascii_lowercase, k=6)) for _ in range(self._length))
            ids += self._model.token_ids(" ".join(words))
        return tuple(ids[: self._length])


def _seconds(
    model: LoadedModel, prompts: Sequence[tuple[int, ...]], adapter: str | None, new_tokens: int
) -> tuple[float, float]:
    """Mean seconds from asking to each answer's last token, and seconds until all have ended."""
    ends: list[float] = []
    failed: list[Exception] = []
    is_over = threading.Event()

    def deliver(item: TextDelta | Exception) -> None:
        if isinstance(item, Exception):
            failed.append(item)
        elif item.finish_reason is None:
            return
        ends.append(time.perf_counter())
        if len(ends) == len(prompts):
            is_over.set()

    started = time.perf_counter()
    for ids in prompts:
        model.submit(
            GenerateRequest(ids, adapter=adapter, max_new_tokens=new_tokens, ignore_end=True, is_streamed=False),
            deliver,
        )
    is_over.wait()
    if failed:
        raise failed[0]
    return sum(ends) / len(ends) - started, ends[-1] - started


class _Memory:
    """What is looked at depends on where the model is: torch's own count, the GPU's, or the process's."""

    def __init__(self, *, in_other_processes: bool) -> None:
        import torch

        self._on_gpu = torch.cuda.is_available()
        self._on_device = self._on_gpu and in_other_processes
        self.meaning = IN_GPU_DEVICE if self._on_device else IN_GPU_TENSORS if self._on_gpu else IN_PROCESS
        _forget_peak()
        self._before = 0 if self._on_gpu else _resident("VmRSS")
        self._found: dict[str, int] = {}

    def loaded(self, cache_bytes: int) -> None:
        """The model is there; a peak from here on is one of answering."""
        import torch

        if self._on_device:
            self._found = {"loaded": self._used()}
            return
        if self._on_gpu:
            held, self._found = torch.cuda.memory_allocated(), {"load_peak": torch.cuda.max_memory_allocated()}
            torch.cuda.reset_peak_memory_stats()
            self._found |= {"loaded": held - cache_bytes, "reserved_for_cache": cache_bytes}
            return
        self._found = {
            "before": self._before, "load_peak": _resident("VmHWM") - self._before,
            "loaded": _resident("VmRSS") - self._before,
        }  # fmt: skip
        _forget_peak()

    def ended(self) -> dict[str, int]:
        """All of it, now that all was asked."""
        import torch

        if self._on_device:
            peak = self._used()
        else:
            peak = torch.cuda.max_memory_allocated() if self._on_gpu else _resident("VmHWM") - self._before
        return {**self._found, "peak": peak}

    def _used(self) -> int:
        import torch

        free, total = torch.cuda.mem_get_info()
        return total - free


def _resident(name: str) -> int:
    """VmRSS, what is resident now, or VmHWM, the most so far, in bytes; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> None:
    """Let VmHWM begin anew (proc(5), clear_refs); where that is not allowed the peak is that of loading."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
