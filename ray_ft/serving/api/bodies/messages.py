"""Turns of a conversation and the tools that it may call, as chat templates take them."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from ray_ft.serving.refusals import invalid, unsupported

MAX_MESSAGES = 8192
MAX_TOOLS = 128
MAX_PASSAGES = 16

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Function(BaseModel):
    """What a tool does; `parameters` is a JSON schema of its arguments."""

    name: Annotated[str, Field(strict=True, pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    description: StrictStr | None = None
    parameters: dict[str, Any] | None = None
    strict: StrictBool | None = None


class Tool(BaseModel):
    """A function that the model may call."""

    type: Literal["function"]
    function: Function

    def as_template_takes_it(self) -> dict[str, Any]:
        """Without what the client left out."""
        function = self.function.model_dump(exclude_none=True, exclude={"strict"})
        return {"type": "function", "function": function}


class ChosenFunction(BaseModel):
    """The name of a tool."""

    name: StrictStr


class ChosenTool(BaseModel):
    """The one tool that the answer has to call."""

    type: Literal["function"]
    function: ChosenFunction


class CalledFunction(BaseModel):
    """A call as an earlier answer gave it; `arguments` is JSON text."""

    name: StrictStr
    arguments: StrictStr = ""


class CalledTool(BaseModel):
    """A call of an earlier answer."""

    id: StrictStr | None = None
    type: Literal["function"] = "function"
    function: CalledFunction

    def as_template_takes_it(self, where: str) -> dict[str, Any]:
        """With the arguments as an object: templates write them as JSON themselves."""
        try:
            arguments = json.loads(self.function.arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            field = f"{where}.function.arguments"
            raise invalid(f"{field}: a JSON object as text is required", param=field)
        call = {"type": "function", "function": {"name": self.function.name, "arguments": arguments}}
        return call if self.id is None else {"id": self.id} | call


class Passages(BaseModel):
    """How many retrieved passages to answer with; null: as many as evaluation takes."""

    model_config = ConfigDict(extra="forbid")
    k: Annotated[StrictInt, Field(ge=1, le=MAX_PASSAGES)] | None = None


class TextPart(BaseModel):
    """One part of a message's content."""

    model_config = ConfigDict(extra="allow")
    type: StrictStr
    text: StrictStr | None = None


class Message(BaseModel):
    """One turn of a conversation; `name` and other extras do not reach the prompt, except a tool's name."""

    model_config = ConfigDict(extra="allow")
    role: Role
    content: StrictStr | Annotated[list[TextPart], Field(max_length=MAX_MESSAGES)] | None = None
    name: StrictStr | None = None
    tool_calls: Annotated[list[CalledTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_call_id: StrictStr | None = None

    def plain(self, index: int) -> dict[str, Any]:
        """Role, text and calls as a chat template takes them."""
        where = f"messages[{index}]"
        calls = self.tool_calls if self.role == "assistant" else None
        if self.content is None and not calls:
            raise invalid(f"{where}.content: a text is required", param=f"{where}.content")
        if isinstance(self.content, list):
            others = sorted({part.type for part in self.content if part.type != "text" or part.text is None})
            if others:
                raise unsupported(f"{where}.content", f"only text parts are supported, not {', '.join(others)[:100]}")
            text = "".join(part.text or "" for part in self.content)
        else:
            text = self.content or ""
        turn: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": text}
        if calls:
            turn["tool_calls"] = [
                call.as_template_takes_it(f"{where}.tool_calls[{number}]") for number, call in enumerate(calls)
            ]
        if self.role == "tool":
            turn |= {key: value for key in ("name", "tool_call_id") if (value := getattr(self, key)) is not None}
        return turn
