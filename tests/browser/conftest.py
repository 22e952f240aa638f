"""A headless Chromium, and endpoints for it to ask."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from exam_fixtures import write_training_set
from playground_endpoint import RING, PlaygroundEndpoint, playground_endpoint

from ray_ft.retrievers import BM25
from ray_ft.serving.passages import PassageSet

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")  # while it runs, this thread has an event loop, and no other test can begin one
def browser() -> Iterator[Any]:
    """A contributor without Chromium goes without these tests; CI does not."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = f"no Chromium: none of {', '.join(NAMES)} is on the PATH; install your distribution's chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaygroundEndpoint]:
    """It has passages."""
    folder = tmp_path_factory.mktemp("open")
    write_training_set(folder / "data")
    passages = PassageSet(str(folder / "data"), "handbook", BM25(), 3, 50)
    with playground_endpoint(folder, passages=passages) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def locked_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaygroundEndpoint]:
    """It wants a key."""
    with playground_endpoint(tmp_path_factory.mktemp("locked"), keys=RING) as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(shared_endpoint: PlaygroundEndpoint) -> PlaygroundEndpoint:
    """Its model says what it was asked, at once."""
    model = shared_endpoint.model
    model.says, model.breaks = "", ""
    model.stopped.clear()
    model.go_on.set()
    shared_endpoint.feedback.unlink(missing_ok=True)
    return shared_endpoint


@pytest.fixture
def new_page(browser: Any) -> Iterator[Any]:
    """Makes pages; at the end, none of them has had an error of its own or broken its policy."""
    contexts, wrong = [], []

    def listen(message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    def new(url: str, *, path: str = "/playground", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}} | options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", listen)
        page.goto(url + path)
        return page

    yield new
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def page(new_page: Any, endpoint: PlaygroundEndpoint) -> Any:
    """The playground, with its models loaded."""
    page = new_page(endpoint.url)
    page.wait_for_selector("#choices input")
    return page
