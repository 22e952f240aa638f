"""GET /playground: one page that asks models side by side, from files of its own and nothing from elsewhere."""

from importlib.resources import files
from typing import TYPE_CHECKING

from ray_ft.serving.refusals import ApiError, Refusal

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGES = {
    "/playground": ("playground.html", "text/html; charset=utf-8"),
    "/playground/playground.css": ("playground.css", "text/css; charset=utf-8"),
    "/playground/playground.js": ("playground.js", "text/javascript; charset=utf-8"),
}
"""Paths of the page's files, which tell nothing of what is served: what the page asks for needs a key."""
PAGE_ROUTES = ("/", "/playground/", *PAGES)

HEADERS = {
    "content-security-policy": "; ".join((
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src data:",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'", "trusted-types 'none'",  # no text ever becomes markup
    )),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # an endpoint that was updated shows its own page
}  # fmt: skip


def add_page_routes(api: "FastAPI") -> None:
    """Declare the routes; `/` leads browsers to the page."""
    from fastapi import Request, Response
    from fastapi.responses import RedirectResponse

    folder = files("ray_ft.serving") / "playground"
    contents = {path: ((folder / name).read_bytes(), media_type) for path, (name, media_type) in PAGES.items()}

    async def page(request: Request) -> Response:
        content, media_type = contents[request.scope["route"].path]
        return Response(content, headers=HEADERS, media_type=media_type)

    async def lead(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            raise ApiError(Refusal(404, "no such route; the API is below /v1, and /docs describes it"))
        return RedirectResponse(request.scope.get("root_path", "") + "/playground")

    for path in PAGES:
        api.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(page)
    for path in set(PAGE_ROUTES) - set(PAGES):
        api.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(lead)
