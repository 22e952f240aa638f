"""Bodies of the OpenAI-style API: of requests, and the `Ask` they come down to; of responses, whole and as events."""

from ray_ft.serving.api.bodies.replies import DONE, Reply, error_event, event, json_bytes, model_row, provenance
from ray_ft.serving.api.bodies.requests import ChatBody, CompletionBody, Conversation, OpenBody, SamplingBody

__all__ = [
    "DONE",
    "ChatBody",
    "CompletionBody",
    "Conversation",
    "OpenBody",
    "Reply",
    "SamplingBody",
    "error_event",
    "event",
    "json_bytes",
    "model_row",
    "provenance",
]
