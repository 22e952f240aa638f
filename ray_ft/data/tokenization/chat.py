"""Examples to token ids and labels: the model's chat template around each, and only the answer in the loss.

The end-of-turn token that the template writes after an answer is a target too, or the tuned model would not stop.
"""

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ray_ft.data.tokenization.ascii_words import ids_of
from ray_ft.data.tokenization.conversation import encode_conversation
from ray_ft.data.tokenization.document_tokens import DocumentTokens, Splicer, Verbatim, num_ids
from ray_ft.data.tokenization.encoded import IGNORED, Encoded
from ray_ft.errors import ConfigError
from ray_ft.models.chat_text import ControlTokens, Hidden
from ray_ft.rows import CountTokens, Example

MAX_PROMPT_FRACTION = 0.5  # of a row: a longer prompt leaves too little of its answer
PROBE = ("What is ray_ft?", "It tunes language models.")


class ChatEncoder:
    """Encodes examples for one tokenizer, chat template and row length."""

    def __init__(self, tokenizer: Any, *, system_prompt: str | None, max_seq_len: int) -> None:
        self.tokenizer = tokenizer
        self.system_prompt = system_prompt
        self.max_seq_len = max_seq_len
        self.control = ControlTokens(tokenizer)
        adds = tokenizer("a").input_ids != tokenizer("a", add_special_tokens=False).input_ids
        first = tokenizer("a").input_ids[:1]
        self.bos = first if adds and first == [tokenizer.bos_token_id] else []
        self.eos = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
        self.pad_id = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (self.eos or [0])[0])
        tokenizer.model_max_length = 10**9  # lengths are ours to watch; no warning for each long document
        self.splicer = _splicer(tokenizer, self.control)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text that is content: special tokens written out in it count as the letters they are."""
        if self.splicer is not None:
            return num_ids(self.splicer.content, [text])
        return len(self.ids(text, is_content=True))

    def check(self) -> None:
        """Raise ConfigError when the chat template cannot be used or its answers cannot be told from its prompts."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise ConfigError("the model's tokenizer has no chat template; give a Jinja file as model.chat_template")
        try:
            encoded = self._turn(*PROBE)
        except Exception as error:  # Jinja's own errors and what templates raise on purpose share no base
            cause = str(error).strip().split("\n")[0]
            hint = "; set model.system_prompt=null" if self.system_prompt is not None else ""
            raise ConfigError(f"the chat template cannot be applied: {cause}{hint}") from None
        if encoded is None or not any(label != IGNORED for label in encoded.labels):
            raise ConfigError(
                "the chat template does not repeat the assistant's answer, so the prompt cannot be masked; "
                "give another as model.chat_template"
            )

    def encode(self, example: Example, *, ends: bool = True, place: Verbatim | None = None) -> list[Encoded] | str:
        """Rows' worth of tokens of one example, or the reason why it is left out.

        `place` says where its completion, white space around it stripped, stands in a document that is tokenised.
        Plain text longer than a row becomes several; it ends with the end-of-text token where its document `ends`. An
        answer longer than a row is cut and then ends without end of turn, so that nothing teaches to stop there. A
        conversation longer than a row ends with the last assistant turn that fits.
        """
        if example.messages:
            conversation = encode_conversation(self, example.messages)
            return conversation if isinstance(conversation, str) else [conversation]
        if not example.prompt:
            if unknown := [mark for mark in example.marks if mark not in self.control.special]:
                return f"the tokenizer has no special token {unknown[0]}"
            return list(self._plain(example, ends=ends or bool(example.marks), place=place))
        encoded = self._turn(example.prompt, example.completion, place, is_cut=example.is_cut)
        if encoded is None:
            return "the chat template changes the answer"
        if len(encoded.input_ids) <= self.max_seq_len:
            return [encoded]
        num_prompt = next(i for i, label in enumerate(encoded.labels) if label != IGNORED)
        if num_prompt > MAX_PROMPT_FRACTION * self.max_seq_len:
            return "prompt longer than half of model.max_seq_len"
        return [Encoded(encoded.input_ids[: self.max_seq_len], encoded.labels[: self.max_seq_len], is_truncated=True)]

    def _plain(self, example: Example, *, ends: bool, place: Verbatim | None) -> Iterator[Encoded]:
        """Every token is a target except the first of each row, which nothing predicts."""
        ids, text = list[int](), example.completion
        for mark in example.marks:
            before, _, text = text.partition(mark)
            ids += [*(self.ids(before, is_content=True) if before else []), *self.ids(mark)]
        if place is None or ids:
            ids += self.ids(text, is_content=True)
        else:
            space = len(text) - len(text.lstrip())
            ids = place.ids(before=text[:space], after=text[len(text.rstrip()) :], is_content=True)
        ids += self.eos if ends else []
        size = self.max_seq_len - len(self.bos)
        for start in range(0, len(ids), size):
            window = self.bos + ids[start : start + size]
            if len(window) > 1:
                yield Encoded(window, [IGNORED, *window[1:]])

    def _turn(
        self, prompt: str, completion: str, place: Verbatim | None = None, *, is_cut: bool = False
    ) -> Encoded | None:
        """One question and answer; None when the template does not show the answer as it is."""
        answer, system = completion.strip(), self.system_prompt
        hidden = Hidden(self.control, (system or "", prompt, answer))
        answer = hidden.hide(answer)
        messages = [] if system is None else [{"role": "system", "content": hidden.hide(system)}]
        messages.append({"role": "user", "content": hidden.hide(prompt)})
        asked = self._render(messages, add_generation_prompt=True)
        full = self._render([*messages, {"role": "assistant", "content": answer}], add_generation_prompt=False)
        # What an engine sees before it answers is `asked`; a template that rewrites it can only be cut at the answer.
        keeps_prompt = full.startswith(asked)
        body = full.find(answer, len(asked)) if keeps_prompt else full.rfind(answer)
        if body < 0 or not answer:
            return None
        start = len(asked) if keeps_prompt else body
        end, stop = (body + len(answer), []) if is_cut else self._end_of_turn(full, body + len(answer))
        pieces = (full[:start], full[start:body], answer, full[body + len(answer) : end])
        return self._masked(*pieces, stop, place, hidden)

    def _end_of_turn(self, full: str, answer_end: int) -> tuple[int, list[int]]:
        """Where the turn ends: after the first special token behind the answer; else end-of-text is added."""
        found = self.control.special_pattern.search(full, answer_end)
        return (found.end(), []) if found else (len(full.rstrip()), self.eos)

    def _masked(
        self,
        prompt: str,
        opening: str,
        answer: str,
        closing: str,
        stop: list[int],
        place: Verbatim | None,
        hidden: Hidden,
    ) -> Encoded:
        """Ids of the parts with labels on all but the prompt.

        The text is tokenised as a whole when that keeps the prompt's own ids, as it does where a template closes the
        prompt with a special token or a newline; else prompt and answer are tokenised apart, as generation sees them.
        Special tokens that stand written out in question or answer are encoded as text: none may open a turn or end
        it early.
        """
        if hidden.stands_in(answer):
            prompt_ids = hidden.ids(prompt, self.ids)
            letters = self.ids(hidden.show(answer), is_content=True)
            ids = prompt_ids + self.ids(opening) + letters + self.ids(closing) + stop
        else:
            if hidden.stands_in(prompt):
                prompt_ids = hidden.ids(prompt, self.ids)
                whole = hidden.ids(prompt + opening + answer + closing, self.ids)
            elif place is None:
                prompt_ids, whole = self.ids(prompt), self.ids(prompt + opening + answer + closing)
            else:
                prompt_ids, whole = place.ids_behind(prompt, opening=opening, after=closing)
            if whole[: len(prompt_ids)] != prompt_ids:
                whole = prompt_ids + self.ids(opening + answer + closing)
            ids = whole + stop
        num_prompt = max(1, len(prompt_ids))
        return Encoded(ids, [IGNORED] * num_prompt + ids[num_prompt:])

    def ids(self, text: str, *, is_content: bool = False) -> list[int]:
        """Ids of a piece of text; in content, special tokens that stand written out are letters."""
        if self.splicer is not None:
            return ids_of(self.splicer.content if is_content else self.splicer.special, [text])[0]
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=is_content).input_ids
        return ids

    def _render(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
        )


def _splicer(tokenizer: Any, control: ControlTokens) -> Splicer | None:
    """Copies of the tokenizer's Rust part; None for tokenizers in pure Python.

    Counting is most of the work of chunking, and transformers' own call costs several times what a short passage does.
    """
    if control.content_backend is None:
        return None
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.encode_special_tokens = False
    backend.no_truncation()
    backend.no_padding()
    return Splicer(control.content_backend, backend)


class TokenCounter:
    """Counts for one document at hand, which is tokenised once, and remembers what several recipes cut alike."""

    def __init__(self, encoder: ChatEncoder, splicer: Splicer) -> None:
        self._count = cache(encoder.count_tokens)
        self._splicer = splicer
        self._tokens = DocumentTokens("", splicer)
        self._counted: dict[tuple[int, int], int] = {}
        self._document: object = None
        self._cut: dict[object, Any] = {}

    def __call__(self, text: str) -> int:
        """Tokens of a text by itself."""
        return self._count(text)

    def about(self, text: str, start: int, end: int) -> int:
        """Tokens that text[start:end] has where it stands."""
        return self.tokens_of(text).about(start, end)

    def exactly(self, text: str, start: int, end: int) -> int:
        """Tokens of text[start:end] by itself."""
        tokens = self.tokens_of(text)
        if (count := self._counted.get((start, end))) is None:
            count = self._counted[start, end] = tokens.count(start, end)
        return count

    def once(self, document: object, settings: object, make: Callable[[], Any]) -> Any:
        """What `make` gives for a document and settings: several recipes cut one alike, and so does retrieval."""
        if document is not self._document:
            self._document, self._cut = document, {}
        if settings not in self._cut:
            self._cut[settings] = make()
        return self._cut[settings]

    def tokens_of(self, text: str) -> DocumentTokens:
        """The tokens of the document."""
        if text is not self._tokens.text:
            self._tokens, self._counted = DocumentTokens(text, self._splicer), {}
        return self._tokens


def token_counter(encoder: ChatEncoder) -> CountTokens:
    """A counter for one document; tokenizers in pure Python, which tell no offsets, only count."""
    splicer = getattr(encoder, "splicer", None)
    return cache(encoder.count_tokens) if splicer is None else TokenCounter(encoder, splicer)
