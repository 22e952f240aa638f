"""Calls of tools in the text of an answer: `<tool_call>{"name": ..., "arguments": ...}</tool_call>`, or a JSON list.

The first is the form of Hermes' and Qwen's templates; the second is what a schema makes an answer that has to call.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray_ft.engines.text_stream import overlap
from ray_ft.errors import RayFTError
from ray_ft.serving.exchange import Piece, ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
PROBE = "ray_ft_probe_tool"


@dataclass(frozen=True)
class TemplateTools:
    """What a chat template does with tools."""

    shows_tools: bool  # to the model
    writes_calls: bool  # in the form that is read here


def probe_template(render: Callable[..., str]) -> TemplateTools:
    """Find out by applying the template, `LoadedModel.apply_chat_template`, to a tool and to a call of it."""
    tool = {"type": "function", "function": {"name": PROBE, "description": "a", "parameters": {"type": "object"}}}
    question = {"role": "user", "content": "a"}
    call = {"type": "function", "id": "a", "function": {"name": PROBE, "arguments": {"a": 1}}}

    def rendered(*turns: Mapping[str, Any], **options: Any) -> str:
        try:
            return str(render([question, *turns], **options))
        except RayFTError:  # templates refuse shapes that they do not know
            return ""

    called = rendered({"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "user", "content": "b"})
    written = _call(_value(called.partition(OPEN)[2].partition(CLOSE)[0]), {PROBE})
    return TemplateTools(PROBE in rendered(tools=[tool]), written is not None)


class CallReader:
    """Takes the calls out of one answer's pieces. Text that may yet become a call is held back."""

    def __init__(self, tools: Sequence[Mapping[str, Any]], *, is_list: bool) -> None:
        self._names = {tool["function"]["name"] for tool in tools}
        self._is_list = is_list
        self._held = ""
        self._has_called = False

    def read(self, piece: Piece) -> Piece:
        """The piece with what is text for certain, and the calls that are complete."""
        is_final = piece.finish_reason is not None
        self._held += piece.text
        text, calls = self._listed(is_final) if self._is_list else self._tagged(is_final)
        self._has_called = self._has_called or bool(calls)
        reason = piece.finish_reason
        if reason == "stop" and self._has_called:
            reason = "tool_calls"
        return replace(piece, text=text, tool_calls=calls, finish_reason=reason)

    def _listed(self, is_final: bool) -> tuple[str, tuple[ToolCall, ...]]:
        if not is_final:
            return "", ()
        listed = _value(self._held)  # nothing where the answer was cut
        calls = [_call(told, self._names) for told in listed] if isinstance(listed, list) else []
        found = tuple(call for call in calls if call is not None)
        return ("", found) if found else (self._held, ())

    def _tagged(self, is_final: bool) -> tuple[str, tuple[ToolCall, ...]]:
        text, calls = "", list[ToolCall]()
        while True:
            before, tag, rest = self._held.partition(OPEN)
            if not tag:
                keep = 0 if is_final else overlap(self._held, OPEN)
                text, self._held = text + self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
                break
            inside, close, after = rest.partition(CLOSE)
            if not close and not is_final:
                text, self._held = text + before, tag + rest
                break
            call = _call(_value(inside), self._names)
            text += before if call is not None else before + tag + inside + close
            if call is not None:
                calls.append(call)
            self._held = after
        # between and after calls templates write lines of nothing
        if (calls or self._has_called) and not text.strip():
            text = ""
        return text, tuple(calls)


def _value(text: str) -> Any:
    """What a JSON text says; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _call(told: Any, names: set[str]) -> ToolCall | None:
    """The call that an object describes; None for anything else, calls of tools that were not given included."""
    name = told.get("name") if isinstance(told, dict) else None
    if not isinstance(name, str) or name not in names:
        return None
    arguments = told.get("arguments", {})
    if isinstance(arguments, str):
        return ToolCall(name, arguments)
    return ToolCall(name, json.dumps(arguments, ensure_ascii=False)) if isinstance(arguments, dict) else None
