"""A request in vLLM's words, and what vLLM says of it in ours."""

from collections.abc import Callable, Sequence
from typing import Any

from ray_ft.engines.requests import FinishReason, GenerateRequest, TextDelta, TokenLogprob
from ray_ft.engines.vllm.versions import VLLM
from ray_ft.errors import GenerationError, first_line

SEEDS = 2**63


def sampling_params(request: GenerateRequest, *, max_tokens: int, end_ids: Sequence[int], vllm: VLLM) -> Any:
    """SamplingParams of a request. Raises GenerationError for values that vLLM refuses."""
    kinds = vllm.RequestOutputKind
    try:
        return vllm.SamplingParams(
            max_tokens=max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            min_p=request.min_p,
            seed=request.seed % SEEDS if request.temperature > 0 else None,
            stop=[stop for stop in request.stop if stop],
            include_stop_str_in_output=False,
            stop_token_ids=[] if request.ignore_end else list(end_ids),
            ignore_eos=request.ignore_end,
            repetition_penalty=request.repetition_penalty,
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
            logit_bias=dict(request.logit_bias) or None,
            logprobs=request.num_logprobs,
            structured_outputs=vllm.StructuredOutputsParams(json=request.schema) if request.schema else None,
            skip_special_tokens=True,
            output_kind=kinds.DELTA if request.is_streamed else kinds.FINAL_ONLY,
        )
    except vllm.refusals as error:
        raise GenerationError(f"vLLM refuses the request: {first_line(error)}") from None


def scoring_params(vllm: VLLM, num_logprobs: int | None) -> Any:
    """SamplingParams that ask for the log-probabilities of a prompt's own tokens, and of so many of the likeliest."""
    return vllm.SamplingParams(
        max_tokens=1,
        temperature=0.0,
        prompt_logprobs=num_logprobs or 0,
        detokenize=False,
        output_kind=vllm.RequestOutputKind.FINAL_ONLY,
    )


class Reader:
    """Makes pieces of an answer of vLLM's outputs, which hold what is new since the last."""

    def __init__(self, request: GenerateRequest, num_prompt_tokens: int, token_text: Callable[[int], str]) -> None:
        self._request = request
        self._token_text = token_text
        self.num_prompt_tokens = num_prompt_tokens
        self.num_completion_tokens = 0

    def read(self, output: Any) -> TextDelta:
        """The piece that an output brings. Raises GenerationError where vLLM gave up."""
        [completion] = output.outputs
        ids = list(completion.token_ids)
        self.num_completion_tokens += len(ids)
        reason = _finish_reason(completion.finish_reason)
        most = self._request.num_logprobs
        logprobs = tuple(
            told_of(i, known, most, self._token_text) for i, known in zip(ids, completion.logprobs or (), strict=False)
        )
        if reason == "stop" and not isinstance(completion.stop_reason, str):
            ids = ids[:-1]  # the token that ends an answer is counted, and is no part of it
        return TextDelta(
            completion.text, reason, self.num_prompt_tokens, self.num_completion_tokens, logprobs, tuple(ids),
            output.num_cached_tokens or 0,
        )  # fmt: skip


def _finish_reason(reason: str | None) -> FinishReason | None:
    if reason in (None, "stop", "length"):
        return reason  # type: ignore[return-value]
    raise GenerationError(f"vLLM ended the answer: {reason}")


def told_of(token_id: int, known: Any, most: int | None, text: Callable[[int], str]) -> TokenLogprob:
    """What vLLM knows of a token's place; None leaves out texts and likelier tokens."""
    likeliest = sorted(known.items(), key=lambda pair: -pair[1].logprob)[: most or 0]
    top = tuple((i, text(i), float(entry.logprob)) for i, entry in likeliest)
    return TokenLogprob(token_id, "" if most is None else text(token_id), float(known[token_id].logprob), top)
