"""Bodies of requests to the OpenAI-style API, and the `Ask` they come down to.

What this server cannot do is refused by name; only fields that change no answer are accepted without effect.
"""

import secrets
import uuid
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from ray_ft.serving.api.bodies.messages import MAX_MESSAGES, MAX_TOOLS, ChosenTool, Message, Passages, Tool
from ray_ft.serving.api.bodies.structure import ResponseFormat, calls_schema, guided_schema
from ray_ft.serving.exchange import Ask
from ray_ft.serving.refusals import invalid, unsupported

NO_EFFECT = frozenset({
    "user", "metadata", "store", "service_tier", "reasoning_effort", "prompt_cache_key", "prompt_cache_retention",
    "safety_identifier", "verbosity",
})  # fmt: skip
"""Accepted and without effect: they ask nothing of the answer itself."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    # OpenAI's
    "functions": ([],), "function_call": ("none", "auto"), "modalities": (["text"],), "audio": (), "prediction": (),
    "web_search_options": (), "suffix": ("",), "best_of": (1,), "logprobs": (False,), "top_logprobs": (0,),
    "echo": (False,), "tools": ([],), "tool_choice": ("none", "auto"), "chat_template_kwargs": ({},),
    "parallel_tool_calls": (True, False),
    # ours
    "retrieval": (False,),
    # vLLM's
    "min_tokens": (0,), "stop_token_ids": ([],), "bad_words": ([],), "allowed_token_ids": (), "prompt_logprobs": (),
    "use_beam_search": (False,), "length_penalty": (1,), "truncate_prompt_tokens": (-1,),
    "add_special_tokens": (False,), "include_stop_str_in_output": (False,), "skip_special_tokens": (True,),
    "guided_regex": (), "guided_choice": (), "guided_grammar": (), "structured_outputs": (),
    "continue_final_message": (False,), "add_generation_prompt": (True,), "chat_template": (), "documents": ([],),
}  # fmt: skip
"""Fields that a route does not know, with the values that ask for nothing."""

TEMPLATE_OWN = frozenset({
    "adapter", "add_generation_prompt", "chat_template", "continue_final_message", "control", "conversation", "longest",
    "max_length", "messages", "padding", "return_assistant_tokens_mask", "return_dict", "return_tensors", "self",
    "tokenize", "tokenizer", "tokenizer_kwargs", "tools", "truncation",
})  # fmt: skip
"""Names that `chat_template_kwargs` may not set: they say how a template is applied, or replace it."""

MAX_CHOICES = 128
"""Most answers to one request, over all its prompts."""
MAX_STOP_LENGTH = 256
"""Most characters of a stop string; each is looked for in every piece of text."""
MAX_IDS = 2**20
"""Most token ids of a prompt, or to make text of: more than any context holds, and few enough to look at one by one."""
MAX_TOKENS = 2**31 - 1

Number = Annotated[float, Field(strict=True)]
Penalty = Annotated[Number, Field(ge=-2, le=2)]
TokenId = Annotated[StrictInt, Field(ge=0, le=MAX_TOKENS)]
Stop = Annotated[StrictStr, Field(max_length=MAX_STOP_LENGTH)]


def _checked_prompt(prompt: Any) -> Any:
    """By hand: a union of lists would be tried branch by branch, through millions of ids."""
    is_many = isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], (str, list))
    if is_many and len(prompt) > MAX_CHOICES:
        raise PydanticCustomError(
            "too_many", "{given} prompts given; at most {most} are allowed", {"given": len(prompt), "most": MAX_CHOICES}
        )
    for one in prompt if is_many else [prompt]:
        if isinstance(one, list) and len(one) > MAX_IDS:
            raise PydanticCustomError("too_many", "more than {most} token ids", {"most": MAX_IDS})
        if isinstance(one, list) and all(type(i) is int and 0 <= i <= MAX_TOKENS for i in one):
            if is_many and isinstance(prompt[0], str):
                raise PydanticCustomError("prompt_type", "texts and token ids cannot be mixed")
        elif not isinstance(one, str) or (is_many and isinstance(prompt[0], list)):
            raise PydanticCustomError("prompt_type", "give a text, token ids, or a list of either")
    if prompt == []:
        raise PydanticCustomError("prompt_type", "give at least one")
    return prompt


IDS_SCHEMA = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": MAX_TOKENS}, "minItems": 1}
PROMPT_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_CHOICES},
        IDS_SCHEMA,
        {"type": "array", "items": IDS_SCHEMA, "minItems": 1, "maxItems": MAX_CHOICES},
    ]
}
Prompt = Annotated[Any, BeforeValidator(_checked_prompt), WithJsonSchema(PROMPT_SCHEMA)]


class StreamOptions(BaseModel):
    """What a stream carries beside text."""

    include_usage: StrictBool = False


class OpenBody(BaseModel):
    """A body whose unknown fields are kept in `model_extra`."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    def ignored_fields(self, *, is_strict: bool = False) -> list[str]:
        """Unknown fields, to be named in a response header; raises for known ones that are not implemented.

        A strict server refuses unknown ones too.
        """
        ignored = []
        for name, value in (self.model_extra or {}).items():
            if name in NEUTRAL:
                if value is not None and not any(_same(value, neutral) for neutral in NEUTRAL[name]):
                    raise unsupported(name, f"not supported by this server (given: {_short(value)}); leave it out")
            elif name not in NO_EFFECT and value is not None:
                ignored.append(name)
        if ignored and is_strict:
            raise unsupported(min(ignored), "this server does not know the field, and is strict; leave it out")
        return sorted(ignored)


class SamplingBody(OpenBody):
    """Fields that chat and completions share."""

    id_prefix: ClassVar[str]
    """Of the reply's id."""

    model: Annotated[StrictStr, Field(max_length=512)]
    """The base, an adapter, or `base:adapter`."""
    n: Annotated[StrictInt, Field(ge=1, le=8)] | None = None
    """Answers to each prompt; at most 128 over all prompts."""
    max_tokens: Annotated[StrictInt, Field(ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    """0, the default, always takes the likeliest token."""
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    top_k: Annotated[StrictInt, Field(ge=-1, le=MAX_TOKENS)] | None = None
    """0 and -1 take all tokens."""
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[Number, Field(gt=0, le=10)] | None = None
    """Divides scores of tokens in prompt and answer."""
    logit_bias: Annotated[dict[StrictStr, Annotated[Number, Field(ge=-100, le=100)]], Field(max_length=1024)] | None = (
        None
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: StrictInt | None = None
    """Sample i of n has this seed + i."""
    ignore_eos: StrictBool | None = None
    """Go on to max_tokens."""
    response_format: ResponseFormat | None = None
    guided_json: dict[str, Any] | StrictStr | None = None
    """A JSON schema that the answer keeps to."""
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None

    def token_limit(self) -> int | None:
        """Most tokens the client wants; None where it says nothing."""
        return self.max_tokens

    def end_user(self) -> str | None:
        """Who the request says that it is for: an experiment gives them the same arm each time."""
        user = (self.model_extra or {}).get("user")
        return user if isinstance(user, str) else None

    def stop_strings(self) -> tuple[str, ...]:
        """The non-empty ones."""
        return tuple(s for s in ([self.stop] if isinstance(self.stop, str) else self.stop or []) if s)

    def num_logprobs(self) -> int | None:
        """How many of the likeliest tokens are told beside each token's log-probability; None: nothing is."""
        raise NotImplementedError

    def schema_of_answer(self) -> tuple[str, str]:
        """The JSON schema that the answer keeps to, or nothing, and the field that it comes from."""
        guided = "" if self.guided_json is None else guided_schema(self.guided_json)
        formed = "" if self.response_format is None else self.response_format.schema_text()
        if guided and formed:
            raise invalid("guided_json: give it or response_format, not both", param="guided_json")
        return (guided, "guided_json") if guided else (formed, "response_format")

    def prompt_fields(self) -> dict[str, Any]:
        """The fields of an `Ask` that say what is answered."""
        raise NotImplementedError

    def as_ask(self, adapter: str | None) -> Ask:
        """What the model's replica needs. Temperature is 0 unless asked for, as in evaluation."""
        if self.stream_options is not None and not self.stream:
            raise invalid("stream_options: only allowed when stream is true", param="stream_options")
        schema, schema_param = self.schema_of_answer()
        return Ask(
            adapter=adapter,
            n=self.n or 1,
            max_new_tokens=self.token_limit(),
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            logit_bias=tuple((_token_id(key), bias) for key, bias in (self.logit_bias or {}).items()),
            num_logprobs=self.num_logprobs(),
            schema=schema,
            schema_param=schema_param,
            ignore_end=bool(self.ignore_eos),
            stop=self.stop_strings(),
            seed=secrets.randbits(31) if self.seed is None else self.seed % 2**63,
            is_streamed=bool(self.stream),
            id=self.id_prefix + uuid.uuid4().hex,
            **self.prompt_fields(),
        )


class Conversation(OpenBody):
    """What a chat template makes a prompt of."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    chat_template_kwargs: Annotated[dict[StrictStr, Any], Field(max_length=64)] | None = None
    """What the chat template gets beside messages and tools."""

    def conversation(self) -> dict[str, Any]:
        """The fields of an `Ask` for it. Nothing is added: evaluation sends its system message itself, so must a
        client."""
        kwargs = self.chat_template_kwargs or {}
        if taken := sorted(TEMPLATE_OWN & kwargs.keys()):
            raise unsupported("chat_template_kwargs", f"{', '.join(taken)} cannot be set")
        return {
            "messages": tuple(message.plain(i) for i, message in enumerate(self.messages)),
            "tools": tuple(tool.as_template_takes_it() for tool in self.tools or ()),
            "template_kwargs": kwargs,
        }


class ChatBody(SamplingBody, Conversation):
    """POST /v1/chat/completions."""

    id_prefix = "chatcmpl-"

    max_completion_tokens: Annotated[StrictInt, Field(ge=1, le=MAX_TOKENS)] | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    """How many of the likeliest tokens to tell beside each; with logprobs."""
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    retrieval: Passages | StrictBool | None = None
    """Answer with passages that the run prepared: true, or how many; sources come back in `ray_ft.sources`."""
    parallel_tool_calls: StrictBool | None = None
    """False lets an answer that has to call make one call."""

    def token_limit(self) -> int | None:
        """The newer of the two names wins."""
        return self.max_completion_tokens or self.max_tokens

    def num_logprobs(self) -> int | None:
        """As SamplingBody's."""
        if self.top_logprobs and not self.logprobs:
            raise invalid("top_logprobs: only allowed when logprobs is true", param="top_logprobs")
        return (self.top_logprobs or 0) if self.logprobs else None

    def schema_of_answer(self) -> tuple[str, str]:
        """As SamplingBody's; an answer that must call is a list of calls."""
        schema, param = super().schema_of_answer()
        if schema and self.tools and self.tool_choice != "none":
            raise unsupported(param, "an answer cannot both keep to a schema and call tools; leave out one of them")
        if not self.must_call():
            return schema, param
        only = self.tool_choice.function.name if isinstance(self.tool_choice, ChosenTool) else None
        schema = calls_schema(self.tools or (), only=only, is_parallel=self.parallel_tool_calls is not False)
        return schema, "tool_choice"

    def must_call(self) -> bool:
        """Whether the answer has to be a call."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, ChosenTool)

    def prompt_fields(self) -> dict[str, Any]:
        """As SamplingBody's, for the conversation. `tool_choice: none` hides the tools from the model."""
        hidden = {"tools": ()} if self.tool_choice == "none" else {}
        return {"prompts": (), "must_call": self.must_call(), **self.conversation(), **hidden}


class CompletionBody(SamplingBody):
    """POST /v1/completions."""

    id_prefix = "cmpl-"

    prompt: Prompt
    """A text, token ids, or a list of either."""
    max_tokens: Annotated[StrictInt, Field(ge=0, le=MAX_TOKENS)] | None = None
    """0, with echo: nothing but the prompt, as what measures it wants."""
    best_of: StrictInt | None = None
    echo: StrictBool | None = None
    """Begin each answer with its prompt; with logprobs, those of its tokens come too, and null for the first."""
    logprobs: Annotated[StrictInt, Field(ge=0, le=5)] | StrictBool | None = None
    """How many of the likeliest tokens to tell beside each."""

    def num_logprobs(self) -> int | None:
        """As SamplingBody's."""
        if self.logprobs is True:
            raise invalid("logprobs: a number of tokens is required, 0 to 5", param="logprobs")
        return None if self.logprobs is False else self.logprobs

    def prompt_fields(self) -> dict[str, Any]:
        """As SamplingBody's. Prompts go to the model as they are, with no chat template."""
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise unsupported("best_of", f"{_short(self.best_of)} cannot be chosen from; leave it out")
        if self.max_tokens == 0 and not self.echo:
            raise invalid("max_tokens: 0 is only allowed with echo", param="max_tokens")
        prompts = prompts_of(self.prompt)
        n = self.n or 1
        if len(prompts) * n > MAX_CHOICES:
            raise invalid(
                f"n: {len(prompts)} prompts with {n} choices each are {len(prompts) * n}; "
                f"at most {MAX_CHOICES} are answered at once",
                param="n",
            )
        return {"messages": None, "prompts": prompts, "echo": bool(self.echo)}


def prompts_of(prompt: Any) -> tuple[str | tuple[int, ...], ...]:
    """The single prompts of the field of that name."""
    many = prompt if isinstance(prompt, list) and not isinstance(prompt[0], int) else [prompt]
    return tuple(one if isinstance(one, str) else tuple(one) for one in many)


def _token_id(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) < 10):
        raise invalid(f"logit_bias: {_short(key)} is no token id", param="logit_bias")
    return int(key)


def _same(value: Any, neutral: Any) -> bool:
    """Equality that tells 0 from false: `min_tokens: 0` asks for nothing, `min_tokens: false` is no number."""
    return bool(value == neutral) and isinstance(value, bool) == isinstance(neutral, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
