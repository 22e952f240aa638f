"""The tokenizer of a base, with what a decode loop needs to know about it: prompts to ids, and where answers end."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_ft.errors import ConfigError, GenerationError, ModelError, PromptTooLongError, first_line
from ray_ft.models.chat_text import ChatText, ControlTokens, chat_ids, render_chat
from ray_ft.models.tokenizer import load_tokenizer


class Prompts:
    """The tokenizer of a base, with what a decode loop needs to know about it."""

    def __init__(self, model_path: str, generation_config: Any, *, chat_template: str | None) -> None:
        self.tokenizer: Any = load_tokenizer(model_path, chat_template)
        self._model_path, self._generation_config = model_path, generation_config
        self._control = ControlTokens(self.tokenizer)
        self._lock = threading.Lock()  # a tokenizer changes while it works
        self._longest_token = max(map(len, self.tokenizer.get_vocab()))
        turn = self._rendered_turn()
        self.end_ids = self._find_end_ids(generation_config, turn)
        self._bos = self._find_bos(turn)

    def in_template(self, path: Path) -> "Prompts":
        """The same tokenizer's in the chat template of a file. Raises ModelError where it is no template."""
        from jinja2 import TemplateError

        try:
            made = Prompts(self._model_path, self._generation_config, chat_template=str(path))
            made.render([{"role": "user", "content": "ray-ft-question"}])
        except (TemplateError, GenerationError, ConfigError, UnicodeError) as error:
            raise ModelError(f"{path.name} is no chat template: {first_line(error)}") from None
        return made

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **template_kwargs: Any,
    ) -> ChatText:
        """The prompt text of a conversation, ending where the assistant's answer begins.

        Special tokens that a message spells out are letters in it.
        """
        from jinja2 import TemplateError

        if not self.tokenizer.chat_template:
            raise ModelError(f"{self._model_path} has no chat template; set model.chat_template to a Jinja file")
        try:
            with self._lock:
                return render_chat(
                    self.tokenizer, self._control, messages, add_generation_prompt=True, tools=tools, **template_kwargs
                )
        except (TemplateError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise GenerationError(f"the chat template refuses these messages: {first_line(error)}") from None

    def encode(self, prompt: str, *, longest: int | None = None) -> list[int]:
        """Ids of a finished prompt text; special tokens written in the text become their ids, in `render`'s its own.

        The beginning-of-text id is put in front where the model expects one and the text does not spell it out, which
        a rendered chat template does by itself.
        """
        if longest is not None:
            self.refuse_too_long(prompt, longest)
        ids = self.encode_text(prompt)
        if self._bos is not None and ids[:1] != [self._bos]:
            return [self._bos, *ids]
        return ids

    def encode_text(self, text: str) -> list[int]:
        """Ids of a prompt text alone."""
        with self._lock:
            return chat_ids(text, self._ids)

    def refuse_too_long(self, text: str, longest: int) -> None:
        """Raise PromptTooLongError, before it takes time, for a text of surely more than `longest` tokens."""
        if len(text) > longest * self._longest_token:
            raise PromptTooLongError(
                f"the prompt has {len(text)} characters, which are more than {longest} tokens of this model's context "
                f"can be; its longest token has {self._longest_token}"
            )

    def encode_content(self, text: str) -> list[int]:
        """Ids of a document's text, in which special tokens that are written out are letters."""
        with self._lock:
            return self._control.content_ids(text)

    def scoring_pieces(self, texts: Sequence[str], *, window: int) -> list[tuple[int, list[int]]]:
        """Documents to score, in windows side by side: which text, and ids, of which all but the first are predicted.

        The first token of a text is predicted from the beginning-of-text token, that of a later window from the token
        before it.
        """
        start_id = self.document_start_id
        pieces = []
        for number, text in enumerate(texts):
            ids = ([] if start_id is None else [start_id]) + self.encode_content(text)
            pieces += [(number, ids[at : at + window + 1]) for at in range(0, len(ids) - 1, window)]
        return pieces

    def decode(self, ids: list[int], *, skip_special_tokens: bool = True) -> str:
        """Text of ids."""
        return str(
            self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False)
        )

    @property
    def document_start_id(self) -> int | None:
        """The id that stands before a document when its first token is to be predicted."""
        bos = self.tokenizer.bos_token_id
        return int(bos) if bos is not None else self.tokenizer.eos_token_id

    def _ids(self, text: str, *, is_content: bool) -> list[int]:
        return self._control.content_ids(text) if is_content else self.tokenizer.encode(text, add_special_tokens=False)

    def _rendered_turn(self) -> tuple[str, str] | None:
        """What the chat template puts before a user's message and after an assistant's; None without a template."""
        question, answer = "ray-ft-question", "ray-ft-answer"
        messages: list[Mapping[str, str]] = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        if not self.tokenizer.chat_template:
            return None
        try:
            text = str(self.tokenizer.apply_chat_template(messages, tokenize=False))
        except Exception:  # a template may raise anything on a shape it does not like; the probe is optional
            return None
        if question not in text or answer not in text:
            return None
        return text.split(question)[0], text.rsplit(answer, 1)[1]

    def _find_end_ids(self, generation_config: Any, turn: tuple[str, str] | None) -> frozenset[int]:
        """End-of-text of config and tokenizer, and the special token with which the template ends an answer.

        Many bases name only end-of-text as eos and would never stop in a chat.
        """
        configured = getattr(generation_config, "eos_token_id", None)
        ids = set(configured if isinstance(configured, list) else [configured])
        ids.add(self.tokenizer.eos_token_id)
        if turn is not None:
            after = self.encode_text(turn[1].lstrip())
            if after and after[0] in self.tokenizer.added_tokens_decoder:  # not a piece of ordinary text
                ids.add(after[0])
        return frozenset(int(i) for i in ids if i is not None)

    def _find_bos(self, turn: tuple[str, str] | None) -> int | None:
        """The id that starts prompts: the one the tokenizer adds itself, unless the chat template goes without it."""
        bos = self.tokenizer.bos_token_id
        if bos is None or list(self.tokenizer.encode(""))[:1] != [bos]:
            return None
        if turn is not None and not turn[0].startswith(self.tokenizer.bos_token):
            return None
        return int(bos)
