"""A double of the part of vLLM 0.26 to 0.33 that is used, with its signatures, for machines without GPUs.

What it answers depends on the prompt's ids and on the adapter alone: each next token is drawn by a seed made of them.
"""

import asyncio
import hashlib
import sys
import types
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum
from importlib.machinery import ModuleSpec
from typing import Any, ClassVar

import pytest


class VLLMValidationError(ValueError):
    """As in 0.26."""


class RequestOutputKind(Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class StructuredOutputsParams:
    json: str | dict[str, Any] | None = None


@dataclass
class StructuredOutputsConfig:
    backend: str = "auto"
    disable_any_whitespace: bool = False


@dataclass
class SamplingParams:
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    structured_outputs: StructuredOutputsParams | None = None
    logit_bias: dict[int, float] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1:
            raise VLLMValidationError(f"top_p must be in (0, 1], got {self.top_p}.")
        if not -2 <= self.presence_penalty <= 2:
            raise ValueError(f"presence_penalty must be in [-2, 2], got {self.presence_penalty}.")
        assert all(self.stop or [])


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LoRARequest) and self.lora_name == other.lora_name

    def __hash__(self) -> int:
        return hash(self.lora_name)


@dataclass
class AsyncEngineArgs:
    model: str
    tokenizer: str | None = None
    dtype: str = "auto"
    quantization: str | None = None
    tensor_parallel_size: int = 1
    distributed_executor_backend: str | None = None
    gpu_memory_utilization: float = 0.92
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    enforce_eager: bool = False
    scheduling_policy: str = "fcfs"
    generation_config: str = "auto"
    structured_outputs_config: StructuredOutputsConfig = field(default_factory=StructuredOutputsConfig)
    disable_log_stats: bool = False
    enable_lora: bool = False
    max_loras: int = 1
    max_cpu_loras: int | None = None
    max_lora_rank: int = 16
    max_logprobs: int = 20


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput]
    finished: bool
    num_cached_tokens: int | None = None


class EngineDeadError(Exception):
    def __init__(self) -> None:
        super().__init__("EngineCore encountered an issue. See stack trace (above) for the root cause.")


class AsyncLLM:
    """Answers at once, or token by token where `steps` hands out permits."""

    made: ClassVar[list[Any]] = []
    refuse_to_start = ""

    def __init__(self, args: AsyncEngineArgs) -> None:
        if self.refuse_to_start:
            raise RuntimeError(self.refuse_to_start)
        from transformers import AutoConfig, AutoTokenizer

        self.args = args
        config = AutoConfig.from_pretrained(args.model)
        longest = args.max_model_len if args.max_model_len != -1 else config.max_position_embeddings
        self.vllm_config = types.SimpleNamespace(
            model_config=types.SimpleNamespace(max_model_len=longest, max_logprobs=args.max_logprobs),
            scheduler_config=types.SimpleNamespace(max_num_seqs=args.max_num_seqs or 256),
            cache_config=types.SimpleNamespace(num_gpu_blocks=100, block_size=16),
        )
        self.tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
        self.steps: asyncio.Semaphore | None = None
        self.errored = False
        self.dead_error = EngineDeadError()
        self.loaded: dict[int, str] = {}
        self.log: list[tuple[str, Any]] = []
        self.seen: list[tuple[SamplingParams, LoRARequest | None, int]] = []
        self.made.append(self)

    @classmethod
    def from_engine_args(cls, engine_args: AsyncEngineArgs) -> "AsyncLLM":
        asyncio.get_running_loop()  # the output handler starts with it
        return cls(engine_args)

    async def generate(
        self,
        prompt: Any,
        sampling_params: SamplingParams,
        request_id: str,
        *,
        prompt_text: str | None = None,
        lora_request: LoRARequest | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        trace_headers: Any = None,
        priority: int = 0,
        data_parallel_rank: int | None = None,
    ) -> AsyncGenerator[RequestOutput, None]:
        assert prompt["type"] == "token"
        ids = list(prompt["prompt_token_ids"])
        self.seen.append((sampling_params, lora_request, priority))
        assert 0 < len(ids) < self.vllm_config.model_config.max_model_len
        if lora_request is not None:
            assert lora_request.lora_int_id in self.loaded, "vLLM would read the adapter's folder again"
        try:
            async for output in self._outputs(ids, sampling_params, request_id, lora_request):
                if self.errored:
                    raise self.dead_error
                yield output
        except (asyncio.CancelledError, GeneratorExit):
            self.log.append(("abort", request_id))
            raise

    async def _outputs(
        self, ids: list[int], params: SamplingParams, request_id: str, lora: LoRARequest | None
    ) -> AsyncGenerator[RequestOutput, None]:
        said = str(lora.lora_path) if lora else ""
        prompt_logprobs = None
        if params.prompt_logprobs is not None:
            prompt_logprobs = [None, *({i: Logprob(-0.5)} for i in ids[1:])]
        read = list(ids)
        new: list[int] = []
        sent_ids, sent_text = 0, ""
        reason: str | None = None
        stop_reason: int | str | None = None
        while reason is None:
            if self.steps is not None:
                await self.steps.acquire()
            token = next_token(read, said, params, len(self.tokenizer))
            read.append(token)
            new.append(token)
            ends = set(params.stop_token_ids or ())
            text = self.tokenizer.decode(new, skip_special_tokens=True) if params.detokenize else ""
            found = [stop for stop in params.stop or () if stop in text]
            if token in ends and not params.ignore_eos:
                reason, stop_reason = "stop", token
            elif found:
                reason, stop_reason = "stop", found[0]
                text = text[: text.index(found[0])]
            elif len(new) >= (params.max_tokens or 16):
                reason = "length"
            if params.output_kind is RequestOutputKind.FINAL_ONLY and reason is None:
                continue
            logprobs = (
                [sample_logprobs(i, params.logprobs) for i in new[sent_ids:]] if params.logprobs is not None else None
            )
            done = CompletionOutput(0, text[len(sent_text) :], new[sent_ids:], 0.0, logprobs, reason, stop_reason)
            sent_ids, sent_text = len(new), text
            yield RequestOutput(request_id, ids, prompt_logprobs, [done], reason is not None, len(ids) - 1)

    async def add_lora(self, lora_request: LoRARequest) -> bool:
        assert lora_request.lora_int_id not in self.loaded
        self.loaded[lora_request.lora_int_id] = lora_request.lora_name
        self.log.append(("add_lora", lora_request.lora_int_id))
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        self.log.append(("remove_lora", lora_id))
        return self.loaded.pop(lora_id, None) is not None

    def shutdown(self, timeout: float | None = None) -> None:
        self.log.append(("shutdown", None))


def next_token(read: list[int], adapter: str, params: SamplingParams, vocabulary: int) -> int:
    """Any id, decided by what was read, the adapter, and the seed where tokens are drawn."""
    key = repr((read, adapter, params.seed if params.temperature > 0 else None))
    return 100 + int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % (vocabulary - 100)


def sample_logprobs(token: int, most: int | None) -> dict[int, Logprob]:
    """The token's own, and those of others that are likelier."""
    return {token: Logprob(-2.0)} | {token + n + 1: Logprob(-0.1 * (n + 1)) for n in range(most or 0)}


class PEFTHelper:
    """As in 0.33: patterns of ranks and alphas count."""

    def get_rank_and_scaling(self, module_name: str) -> None: ...


def install(monkeypatch: pytest.MonkeyPatch, version: str = "0.26.0") -> None:
    """Put the double where vLLM would be imported from."""
    old = not version.startswith("0.33")
    monkeypatch.setattr(AsyncLLM, "made", [])
    monkeypatch.setattr(AsyncLLM, "refuse_to_start", "")
    client_error = type("VLLMClientError", (Exception,), {})
    modules: dict[str, dict[str, Any]] = {
        "vllm": {"__version__": version},
        "vllm.exceptions": {"VLLMValidationError": VLLMValidationError}
        | ({} if old else {"VLLMClientError": client_error}),
        "vllm.config": {"StructuredOutputsConfig": StructuredOutputsConfig},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"AsyncEngineArgs": AsyncEngineArgs},
        "vllm.lora": {},
        "vllm.lora.peft_helper": {"PEFTHelper": type("PEFTHelper", (), {}) if old else PEFTHelper},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.model_executor": {},
        "vllm.model_executor.layers": {},
        "vllm.model_executor.layers.quantization": {
            "QUANTIZATION_METHODS": ["fp8", "bitsandbytes"] if old else ["fp8"]
        },
        "vllm.sampling_params": {
            "RequestOutputKind": RequestOutputKind,
            "SamplingParams": SamplingParams,
            "StructuredOutputsParams": StructuredOutputsParams,
        },
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.async_llm": {"AsyncLLM": AsyncLLM},
    }
    for name, content in modules.items():
        module = types.ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__dict__.update(content, __path__=[])
        monkeypatch.setitem(sys.modules, name, module)
