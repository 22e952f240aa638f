"""Routes that change what is served, or show what others have said: for those who may administer the endpoint."""

import re

ADMIN_ROUTES = (
    ("POST", "/v1/load_lora_adapter"),
    ("POST", "/v1/unload_lora_adapter"),
    ("GET", "/v1/adapters"),
    ("GET", "/v1/adapters/{name:path}"),
    ("POST", "/v1/adapters/{name:path}/aliases"),
    ("GET", "/v1/experiments"),
    ("POST", "/v1/experiments"),
    ("GET", "/v1/feedback"),
)
"""Method and path of each, as the routes are declared."""

_PATTERNS = tuple((method, re.compile(re.sub(r"\{\w+:path\}", ".+", path) + "/?")) for method, path in ADMIN_ROUTES)


def is_admin(method: str, path: str) -> bool:
    """Whether a request is for one of these routes; `path` is decoded. A HEAD reads what a GET does."""
    method = "GET" if method == "HEAD" else method
    return any(method == known and pattern.fullmatch(path) for known, pattern in _PATTERNS)
