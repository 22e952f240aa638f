"""Conversations to token ids and labels: every trained assistant turn with its end of turn, and nothing else.

Where the turns stand in the rendered text is told by the chat template's `{% generation %}` marks when it has them,
else by what each turn adds to the rendering of those before it. That holds only for templates which write a turn the
same whatever follows it; the others are refused.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray_ft.data.tokenization.encoded import IGNORED, Encoded, TurnEncoder
from ray_ft.errors import first_line
from ray_ft.models.chat_text import Hidden
from ray_ft.rows import Message

GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
PROBE = (
    Message("user", "What is ray_ft?"),
    Message("assistant", "It tunes language models.", trained=True),
    Message("user", "On what hardware does it run?"),
    Message("assistant", "On a Ray cluster.", trained=True),
)
REWRITES = "the chat template writes earlier turns otherwise once others follow"
WAY_OUT = (
    "take data.datasets[].turns=apart, which makes an example of each turn, or give a template with "
    "{% generation %} marks as model.chat_template"
)
NEVER_ENDS = "the chat template ends assistant turns by no special token"
WAY_OUT_OF_NO_END = (
    "take data.datasets[].turns=apart, which ends each by end-of-text, or give a template that ends a turn by a "
    "special token as model.chat_template"
)
TOO_LONG = "first trained turn ends beyond model.max_seq_len"


class Refused(ValueError):
    """Why a conversation gives no example."""


@dataclass(frozen=True)
class Turn:
    """Where one trained turn stands in the rendered text, in characters: start <= answer < answer_end <= end."""

    start: int  # of what the model writes; the prompt ends here
    answer: int
    answer_end: int
    end: int  # behind the token that ends the turn
    adds_stop: bool = False  # the template ends the turn by no token, so end-of-text is put there


def encode_conversation(encoder: TurnEncoder, messages: Sequence[Message]) -> Encoded | str:
    """Ids up to the last trained turn that fits a row, with labels on the trained turns; or why there are none."""
    if encoder.system_prompt is not None and messages[0].role != "system":
        messages = (Message("system", encoder.system_prompt), *messages)
    hidden = Hidden(encoder.control, (message.content for message in messages))
    messages = [replace(message, content=hidden.hide(message.content)) for message in messages]
    try:
        text, turns = _rendered(encoder, messages)
        ids, labels, ends = _tokenised(encoder, hidden, text, turns)
    except Refused as refused:
        return str(refused)
    if len(ids) <= encoder.max_seq_len:
        return Encoded(ids, labels)
    kept = max((end for end in ends if end <= encoder.max_seq_len), default=0)
    if not kept:
        return TOO_LONG
    return Encoded(ids[:kept], labels[:kept], is_shortened=True)


def multi_turn_problem(encoder: TurnEncoder) -> str:
    """Why conversations of several assistant turns cannot be masked with this template, in one line; "" if they can."""
    encoded = encode_conversation(encoder, PROBE)
    if not isinstance(encoded, str) or encoded == TOO_LONG:
        return ""
    way_out = WAY_OUT_OF_NO_END if encoded == NEVER_ENDS else WAY_OUT
    return f"conversations of several turns cannot be masked: {encoded}; {way_out}"


# --- where the turns stand --------------------------------------------------------------------------------------------


def _rendered(encoder: TurnEncoder, messages: Sequence[Message]) -> tuple[str, list[Turn]]:
    template = str(encoder.tokenizer.chat_template)
    turns = _marked(encoder, messages) if GENERATION_MARK.search(template) else _by_difference(encoder, messages)
    return turns[0][: turns[1][-1].end], turns[1]


def _marked(encoder: TurnEncoder, messages: Sequence[Message]) -> tuple[str, list[Turn]]:
    """Turns from the template's own marks."""
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        texts, marks = render_jinja_template(
            [_plain(messages)],
            chat_template=encoder.tokenizer.chat_template,
            return_assistant_tokens_mask=True,
            **encoder.tokenizer.special_tokens_map,
        )
    except Exception as error:  # Jinja's own errors and what templates raise on purpose share no base
        raise Refused(f"the chat template refuses it: {first_line(error)}") from None
    text, spoken = str(texts[0]), [i for i, m in enumerate(messages) if m.role == "assistant"]
    spans = [(int(start), int(end)) for start, end in marks[0]]
    if len(spans) > len(spoken):  # end-of-text behind the last turn may have a mark of its own
        spans = _joined(spans)
    if len(spans) != len(spoken):
        raise Refused("the chat template marks not every assistant turn by {% generation %}")
    turns = [_marked_turn(encoder, messages, i, text, span) for i, span in zip(spoken, spans, strict=True)]
    return text, _ending([turn for i, turn in zip(spoken, turns, strict=True) if messages[i].trained])


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that touch, as one."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _marked_turn(encoder: TurnEncoder, messages: Sequence[Message], i: int, text: str, span: tuple[int, int]) -> Turn:
    """A marked turn, with the special token that ends it inside the mark or right behind it."""
    start, end = span
    asked = _render(encoder, messages[:i], add_generation_prompt=True)
    if text.startswith(asked) and start <= len(asked) <= end:
        start = len(asked)  # some marks hold the turn's header too, which an engine writes and no model
    space = len(text[end:]) - len(text[end:].lstrip())
    behind = max((len(t) for t in encoder.control.special if text.startswith(t, end + space)), default=0)
    limit = end + space + behind if behind else end
    content = messages[i].content.strip()
    answer = text.find(content, start, end)
    if answer < 0:  # thoughts may be set apart from the answer; the mark says what is trained
        marked = text[start:end].rstrip()
        ending = max((len(t) for t in encoder.control.special if marked.endswith(t)), default=0)
        answer, content = start, marked[: len(marked) - ending]
    return _ended(encoder, text, start, answer, content, limit)


def _by_difference(encoder: TurnEncoder, messages: Sequence[Message]) -> tuple[str, list[Turn]]:
    """Turns from what each adds; raises Refused where a turn, or what stands before it, changes once others follow."""
    full = _render(encoder, messages)
    turns: list[Turn] = []
    for i in (i for i, m in enumerate(messages) if m.trained):
        asked = _render(encoder, messages[:i], add_generation_prompt=True)
        after = full if i == len(messages) - 1 else _render(encoder, messages[: i + 1])
        content = messages[i].content.strip()
        # What an engine sees before it answers is `asked`; a template that rewrites it can only be cut at the answer.
        keeps_prompt = after.startswith(asked)
        answer = after.find(content, len(asked)) if keeps_prompt else after.rfind(content)
        if answer < (turns[-1].end if turns else 0):
            raise Refused("the chat template changes the answer")
        turn = _ended(encoder, after, len(asked) if keeps_prompt else answer, answer, content, len(after))
        # Behind the turn's end some templates write end-of-text when nothing follows; up to there nothing may change.
        if not full.startswith(after[: turn.end]):
            raise Refused(REWRITES)
        turns.append(turn)
    return full, _ending(turns)


def _ending(turns: list[Turn]) -> list[Turn]:
    """The same turns, if all but the last are ended by a token of the template."""
    if any(turn.adds_stop for turn in turns[:-1]):
        raise Refused(NEVER_ENDS)
    return turns


def _ended(encoder: TurnEncoder, text: str, start: int, answer: int, content: str, limit: int) -> Turn:
    """The turn up to the first special token behind its answer and before `limit`; without one, end-of-text ends it."""
    answer_end = answer + len(content)
    ends = [(i, i + len(t)) for t in encoder.control.special if (i := text.find(t, answer_end, limit)) >= 0]
    end = min(ends)[1] if ends else answer_end + len(text[answer_end:limit].rstrip())
    return Turn(start, answer, answer_end, end, adds_stop=not ends)


def _render(encoder: TurnEncoder, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
    if not messages:
        return ""
    try:
        return str(
            encoder.tokenizer.apply_chat_template(
                _plain(messages), tokenize=False, add_generation_prompt=add_generation_prompt
            )
        )
    except Exception as error:  # as above
        raise Refused(f"the chat template refuses it: {first_line(error)}") from None


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content.strip() if m.role == "assistant" else m.content} for m in messages]


# --- tokens -----------------------------------------------------------------------------------------------------------


def _tokenised(
    encoder: TurnEncoder, hidden: Hidden, text: str, turns: Sequence[Turn]
) -> tuple[list[int], list[int], list[int]]:
    """Ids and labels of the text up to the last turn's end, and the token at which each turn has ended.

    The text is tokenised as a whole when a token begins and ends where each turn does, as after a special token or a
    newline; else in pieces, as generation sees them. Special tokens that stand written out in a message are encoded
    as text: none may open a turn or end it early.
    """
    whole = None if hidden.stands_in(text) else _whole(encoder, text, turns)
    ids: list[int] = []
    labels: list[int] = []
    ends: list[int] = []
    for piece, turn in _pieces(encoder, hidden, text, turns) if whole is None else whole:
        whole_piece = [*piece, *(encoder.eos if turn is not None and turn.adds_stop else [])]
        ids += whole_piece
        labels += [IGNORED] * len(whole_piece) if turn is None else whole_piece
        if turn is not None:
            ends.append(len(ids))
    labels[:1] = [IGNORED]  # nothing predicts the first token of a row
    return ids, labels, ends


def _whole(encoder: TurnEncoder, text: str, turns: Sequence[Turn]) -> list[tuple[list[int], Turn | None]] | None:
    """Ids between and in the turns, from one call of the tokenizer; None where a token crosses a turn's border."""
    if not getattr(encoder.tokenizer, "is_fast", False):
        return None
    encoded: Any = encoder.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    starts = [int(offset[0]) for offset in encoded.offset_mapping]
    stops = [int(offset[1]) for offset in encoded.offset_mapping]
    pieces: list[tuple[list[int], Turn | None]] = []
    token = 0
    for turn in turns:
        first = next((i for i in range(token, len(starts)) if starts[i] >= turn.start), len(starts))
        last = next((i for i in range(first, len(starts)) if stops[i] >= turn.end), len(starts))
        if last == len(starts) or starts[first] != turn.start or stops[last] != turn.end:
            return None
        if first and stops[first - 1] > turn.start:
            return None
        pieces += [(encoded.input_ids[token:first], None), (encoded.input_ids[first : last + 1], turn)]
        token = last + 1
    return pieces


def _pieces(
    encoder: TurnEncoder, hidden: Hidden, text: str, turns: Sequence[Turn]
) -> Iterator[tuple[list[int], Turn | None]]:
    """Ids of each part by itself."""
    position = 0
    for turn in turns:
        yield hidden.ids(text[position : turn.start], encoder.ids), None
        answer = encoder.ids(hidden.show(text[turn.answer : turn.answer_end]), is_content=True)
        opening, closing = text[turn.start : turn.answer], text[turn.answer_end : turn.end]
        yield [*encoder.ids(opening), *answer, *encoder.ids(closing)], turn
        position = turn.end
