"""A base with its adapters in vLLM, ready to answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ray_ft.engines.prompted import PromptedModel, check_ids
from ray_ft.engines.prompts import Prompts
from ray_ft.engines.requests import Deliver, EngineStatus, GenerateRequest, TokenLogprob
from ray_ft.engines.transformers.grammar import Grammars
from ray_ft.engines.vllm.adapters import check_rank, max_rank, rank_of
from ray_ft.engines.vllm.loop import Answer, EngineLoop
from ray_ft.engines.vllm.requests import Reader, sampling_params, told_of
from ray_ft.engines.vllm.versions import VLLM, import_vllm, quantization_method
from ray_ft.errors import GenerationError, ModelError, first_line

if TYPE_CHECKING:
    from ray_ft.engines.vllm import VLLMEngine

HELD_ADAPTERS = 100_000
"""Room in vLLM's cache of adapters in the machine's memory: those that fall out of it are read again from their
folders, which may hold others by then."""


def load_model(
    engine: "VLLMEngine", model_path: str, adapters: Mapping[str, str], *, chat_template: str | None
) -> "VLLMModel":
    """Look at the base and every adapter, start vLLM, and load the adapters. Raises ModelError."""
    from ray_ft.models.weights import check_base, empty_model

    check_base(model_path)
    if adapters and not engine.max_adapters:
        raise ModelError("engine.max_adapters is 0, and there are adapters to load; set how many one batch may mix")
    base = empty_model(model_path)
    vllm = import_vllm()
    gate = {"base": base, "model_path": model_path, "scales_by_pattern": vllm.scales_by_pattern}
    ranks = {name: rank_of(name, folder, **gate) for name, folder in adapters.items()}
    room = max_rank(list(ranks.values()), engine.max_adapter_rank)
    for name, rank in ranks.items():
        check_rank(name, rank, room)
    prompts = Prompts(model_path, _generation_config(model_path, base), chat_template=chat_template)
    model = VLLMModel(vllm, _arguments(engine, vllm, model_path, room), prompts, gate, max_rank=room)
    try:
        for name, folder in adapters.items():
            model.take_template(name, folder)
            model.offer(name, folder)
    except BaseException:
        model.close()
        raise
    return model


def _arguments(engine: "VLLMEngine", vllm: VLLM, model_path: str, max_lora_rank: int) -> dict[str, Any]:
    """AsyncEngineArgs, by name."""
    import torch

    tensor_parallel = engine.tensor_parallel or max(1, torch.cuda.device_count())
    arguments: dict[str, Any] = {
        "model": model_path,
        "tokenizer": model_path,
        "dtype": engine.dtype,
        "quantization": quantization_method(engine.quantization, vllm),
        "tensor_parallel_size": tensor_parallel,
        # Ray's own workers would look for GPUs outside of this process's.
        "distributed_executor_backend": "mp" if tensor_parallel > 1 else "uni",
        "gpu_memory_utilization": engine.gpu_memory_fraction,
        "max_model_len": engine.max_seq_len or -1,  # -1: the model's, or what fits
        "enforce_eager": engine.eager,
        "scheduling_policy": "priority",
        "generation_config": "vllm",  # what a folder says of temperatures is not asked for
        "structured_outputs_config": vllm.StructuredOutputsConfig(backend="guidance", disable_any_whitespace=True),
        "disable_log_stats": True,
    }
    if engine.batch_size is not None:
        arguments["max_num_seqs"] = engine.batch_size
    if engine.max_adapters:
        arguments["enable_lora"] = True
        arguments["max_loras"] = engine.max_adapters
        arguments["max_cpu_loras"] = HELD_ADAPTERS
        arguments["max_lora_rank"] = max_lora_rank
    return arguments | engine.options


def _generation_config(model_path: str, base: Any) -> Any:
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(model_path, local_files_only=True)
    except OSError:  # many folders have none
        return base.generation_config


class VLLMModel(PromptedModel):
    """A model over AsyncLLM, which computes in processes of its own."""

    def __init__(
        self, vllm: VLLM, arguments: dict[str, Any], prompts: Prompts, gate: dict[str, Any], *, max_rank: int
    ) -> None:
        self._vllm, self._gate, self._max_rank = vllm, gate, max_rank
        self._has_adapters = bool(arguments.get("enable_lora"))
        num_rows = len(gate["base"].get_input_embeddings().weight)
        self._grammars = Grammars(prompts.tokenizer, prompts.end_ids, num_tokens=num_rows)
        try:
            self._running = EngineLoop(vllm, arguments)
        except Exception as error:
            raise ModelError(
                f"{arguments['model']}: vLLM does not start: {first_line(error)}; its log has the cause. "
                "Where memory is short, set engine.tensor_parallel, quantization, max_seq_len or gpu_memory_fraction"
            ) from error
        config = self._running.engine.vllm_config
        super().__init__(prompts, max_seq_len=int(config.model_config.max_model_len), num_rows=num_rows)
        self._max_logprobs = int(config.model_config.max_logprobs)
        self._max_rows = int(config.scheduler_config.max_num_seqs)
        self._cache_tokens = int((config.cache_config.num_gpu_blocks or 0) * config.cache_config.block_size)
        self.offer = self._running.adapters.load

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        """Ask, and have the answer delivered as it comes; returns what cancels it."""
        answer = self._prepared(request, deliver)
        self._running.add(answer)
        return lambda: self._running.cancel(answer)

    def scores(
        self, pieces: Sequence[list[int]], *, adapter: str | None, num_logprobs: int | None
    ) -> list[list[TokenLogprob]]:
        """Each piece's tokens after its first."""
        self._check_num_logprobs(num_logprobs)
        known = self._running.score(pieces, adapter, num_logprobs)
        return [
            [told_of(i, place, num_logprobs, self._token_text) for i, place in zip(ids[1:], places[1:], strict=True)]
            for ids, places in zip(pieces, known, strict=True)
        ]

    def load_adapter(self, name: str, folder: str) -> None:
        """Load one more adapter; others go on answering."""
        if not self._has_adapters:
            raise ModelError("engine.max_adapters is 0: the model was started without room for adapters")
        check_rank(name, rank_of(name, folder, **self._gate), self._max_rank)
        self.take_template(name, folder)
        self.offer(name, folder)

    def unload_adapter(self, name: str) -> None:
        """Let go of an adapter once those who ask it have their answers."""
        self._running.unload(name)
        self._own_prompts.pop(name, None)

    def status(self) -> EngineStatus:
        """How much there is to do; what is cached is as much as answers have told."""
        answers = self._running.open_answers()
        running = answers[: self._max_rows]
        cached = sum(a.reader.num_prompt_tokens + a.reader.num_completion_tokens for a in running)
        names = self._running.adapters.names
        return EngineStatus(len(running), len(answers) - len(running), names, cached, self._cache_tokens)

    def close(self) -> None:
        """End vLLM's processes; open answers end in an error."""
        self._running.close()

    def _prepared(self, request: GenerateRequest, deliver: Deliver) -> Answer:
        """Check a request and tokenise it."""
        self._running.adapters.check(request.adapter)
        ids, max_tokens = self._ids_and_room(request)
        self._check_num_logprobs(request.num_logprobs)
        check_ids([i for i, _ in request.logit_bias], "logit_bias", num_rows=self._num_rows)
        if request.schema:
            self._grammars.make(request.schema)  # one that cannot be kept to is refused here
        end_ids = sorted(self.prompts_of(request.adapter).end_ids)
        params = sampling_params(request, max_tokens=max_tokens, end_ids=end_ids, vllm=self._vllm)
        return Answer(request, ids, params, Reader(request, len(ids), self._token_text), deliver)

    def _check_num_logprobs(self, num_logprobs: int | None) -> None:
        if num_logprobs is not None and not 0 <= num_logprobs <= self._max_logprobs:
            raise GenerationError(f"num_logprobs is {num_logprobs}; it must be at most {self._max_logprobs}")

    def _token_text(self, token_id: int) -> str:
        return self.detokenize([token_id])
