"""Refusals in OpenAI's shape: a value that crosses processes, and the exception that routes raise."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the HTTP request that is being worked on; errors and log lines name it."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered; `param` names the field at fault."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None

    def body(self) -> dict[str, Any]:
        """The JSON body that OpenAI's clients read."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        request = {"request_id": REQUEST_ID.get()} if REQUEST_ID.get() else {}
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code} | request}


class ApiError(Exception):
    """Raised where a request turns out to be unanswerable; becomes an HTTP response in api/routes.py."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that the client must change."""
    return ApiError(Refusal(400, message, code=code, param=param))


def unsupported(param: str, message: str) -> ApiError:
    """A field that this server would otherwise have to ignore."""
    return invalid(f"{param}: {message}", param=param, code="unsupported_parameter")
