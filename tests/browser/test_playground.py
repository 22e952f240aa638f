"""The playground in a browser: what people see of answers, ratings, keys and failures, and how they get about."""

import json
import re
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playground_endpoint import KEY, PlaygroundEndpoint
from playwright.sync_api import expect

BASE = "builtin:tiny"

pytestmark = pytest.mark.long


def ask(page: Any, question: str, *models: str) -> None:
    for box in page.locator("#choices input").all():
        box.set_checked(box.get_attribute("value") in (models or (BASE, "support")))
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name="Ask").click()


def answer(page: Any, model: str) -> Any:
    return page.get_by_role("article", name=f"Answer of {model}")


def feedback(endpoint: PlaygroundEndpoint) -> list[dict[str, Any]]:
    return [json.loads(line) for line in endpoint.feedback.read_text().splitlines()]


# --- answers ----------------------------------------------------------------------------------------------------------


def test_answers_stream_side_by_side(page: Any, endpoint: PlaygroundEndpoint) -> None:
    endpoint.model.go_on.clear()
    endpoint.model.says = "one two three four"
    ask(page, "Count")
    for model in (BASE, "support"):
        expect(answer(page, model).locator(".text")).to_have_text("one two ")
        expect(answer(page, model)).to_have_attribute("aria-busy", "true")
        expect(answer(page, model).locator(".figures")).to_contain_text(re.compile(r"first token \d+\.\d\d s"))
    left, right = (answer(page, model).bounding_box() for model in (BASE, "support"))
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] < right["x"]
    endpoint.model.go_on.set()
    for model in (BASE, "support"):
        expect(answer(page, model).locator(".text")).to_have_text("one two three four")
        expect(answer(page, model).locator(".figures")).to_have_text(
            re.compile(r"^first token \d+\.\d\d s · \d+\.\d tokens/s · 4 tokens$")
        )
    version = endpoint.versions("support")[0]
    expect(answer(page, "support").get_by_role("heading")).to_have_text(f"support {version}")
    expect(page.get_by_role("button", name="Ask")).to_be_enabled()


def test_settings_reach_the_model_and_an_answer_at_its_limit_says_so(page: Any, endpoint: PlaygroundEndpoint) -> None:
    page.get_by_text("Settings").click()
    page.get_by_label("System message").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Longest answer").fill("3")
    page.get_by_label("Seed").fill("11")
    ask(page, "Why?", BASE)
    expect(page.locator("#asked")).to_have_text("temperature 0.5, seed 11")
    expect(answer(page, BASE).locator(".figures")).to_contain_text("3 tokens · cut off at the limit")
    told = endpoint.model.requests[-1]
    assert (told.temperature, told.seed, told.max_new_tokens) == (0.5, 11, 3)
    assert endpoint.model.prompt(told) == "system=Be brief. user=Why?"


def test_a_setting_that_cannot_be_is_named_before_anything_is_asked(page: Any, endpoint: PlaygroundEndpoint) -> None:
    before = len(endpoint.model.requests)
    page.get_by_text("Settings").click()
    page.get_by_label("Temperature").fill("3")
    ask(page, "Why?")
    expect(page.locator("#trouble")).to_contain_text("Temperature: ")
    expect(page.get_by_label("Temperature")).to_be_focused()
    assert len(endpoint.model.requests) == before


def test_stop_keeps_what_was_said_and_ends_the_work(page: Any, endpoint: PlaygroundEndpoint) -> None:
    endpoint.model.go_on.clear()
    endpoint.model.says = "one two three four"
    ask(page, "Count")
    expect(answer(page, "support").locator(".text")).to_have_text("one two ")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Escape")
    for model in (BASE, "support"):
        expect(answer(page, model).locator(".trouble")).to_have_text("Stopped.")
        expect(answer(page, model).locator(".text")).to_have_text("one two ")
        expect(answer(page, model).get_by_role("button", name="Good")).to_be_hidden()  # it is remembered nowhere
    expect(page.get_by_label("Question")).to_be_focused()
    endpoint.model.go_on.set()
    assert endpoint.model.stopped.wait(timeout=10)


def test_a_conversation_goes_on_from_one_answer(page: Any, endpoint: PlaygroundEndpoint) -> None:
    endpoint.model.says = "It is green."
    ask(page, "Which colour?")
    answer(page, "support").get_by_role("button", name="Continue from here").click()
    expect(page.locator("#turns")).to_contain_text("It is green.")
    endpoint.model.says = ""
    ask(page, "And why?")
    seen = "user=Which colour? assistant=It is green. user=And why?"
    expect(answer(page, BASE).locator(".text")).to_contain_text(seen)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#conversation")).to_be_hidden()
    ask(page, "Hello")
    expect(answer(page, BASE).locator(".text")).to_contain_text(re.compile(r": user=Hello$"))


def test_markup_in_an_answer_is_text(page: Any, endpoint: PlaygroundEndpoint) -> None:
    endpoint.model.says = "<img src=x onerror=\"document.title='taken'\"> <script>document.title='taken'</script>"
    ask(page, "<img src=x onerror=\"document.title='taken'\">")
    expect(answer(page, BASE).locator(".text")).to_have_text(endpoint.model.says)
    answer(page, BASE).get_by_role("button", name="Continue from here").click()
    expect(page.locator("#turns")).to_contain_text("<img src=x")
    assert page.locator("img").count() == 0
    assert page.title() == "Playground · ray_ft"


def test_sources_are_shown_with_the_answers_they_were_given_to(page: Any, endpoint: PlaygroundEndpoint) -> None:
    page.get_by_text("Settings").click()
    expect(page.get_by_label("Number of passages")).to_have_value("3")
    page.get_by_label("Number of passages").fill("2")
    page.get_by_label("Retrieved passages").check()
    ask(page, "What does widget07a do?")
    for model in (BASE, "support"):
        answer(page, model).get_by_text("Answered with 2 sources").click()
        first = answer(page, model).get_by_role("listitem").first
        expect(first).to_contain_text(re.compile(r"07\.md Widgets > Widget 7 · score \d+\.\d"))
        expect(first.locator("blockquote")).to_contain_text("widget07a: ")
    assert "[2] Widgets > Widget" in endpoint.model.prompt(endpoint.model.requests[-1])


# --- ratings ----------------------------------------------------------------------------------------------------------


def test_ratings_are_on_the_disk_before_they_are_said_to_be(page: Any, endpoint: PlaygroundEndpoint) -> None:
    ask(page, "Why?", BASE, "handbook", "support")
    best = answer(page, "support")
    best.get_by_role("button", name="Good").click()
    expect(best.locator(".rated")).to_have_text("Saved as good.")
    expect(best.get_by_role("button", name="Good")).to_have_attribute("aria-pressed", "true")
    best.get_by_text("Comment", exact=True).click()
    best.get_by_label("Comment on the answer of support").fill("names the file")
    best.get_by_role("button", name="Save the comment").click()
    expect(best.locator(".rated")).to_have_text("Comment saved.")
    answer(page, BASE).get_by_role("button", name="Bad").click()
    expect(answer(page, BASE).locator(".rated")).to_have_text("Saved as bad.")
    best.get_by_role("button", name="Best").click()
    expect(best.locator(".rated")).to_have_text("Saved as the best.")
    good, comment, bad, *better = feedback(endpoint)
    model = f"support@{endpoint.versions('support')[0]}"
    assert (good["model"], good["score"]) == (model, 1)
    assert (comment["model"], comment["score"], comment["comment"]) == (model, 1, "names the file")
    assert (bad["model"], bad["score"]) == (BASE, -1)
    assert {(line["model"], line["preferred_over"]["model"].partition("@")[0]) for line in better} == {
        (model, BASE), (model, "handbook"),
    }  # fmt: skip


def test_a_rating_that_is_not_saved_is_not_said_to_be(page: Any, endpoint: PlaygroundEndpoint) -> None:
    ask(page, "Why?", BASE)
    expect(answer(page, BASE).get_by_role("button", name="Best")).to_be_hidden()  # of one
    page.route("**/v1/feedback", lambda route: route.abort())
    answer(page, BASE).get_by_role("button", name="Good").click()
    expect(answer(page, BASE).locator(".rated")).to_contain_text("Not saved. The endpoint cannot be reached.")
    expect(answer(page, BASE).get_by_role("button", name="Good")).to_have_attribute("aria-pressed", "false")
    assert not endpoint.feedback.exists()


# --- getting about ----------------------------------------------------------------------------------------------------


def test_everything_is_done_by_keyboard(page: Any, endpoint: PlaygroundEndpoint) -> None:
    expect(page.get_by_label("Question")).to_be_focused()
    page.keyboard.type("Why?")
    page.keyboard.press("Control+Enter")
    expect(answer(page, "support").get_by_role("button", name="Good")).to_be_visible()
    expect(page.get_by_label("Question")).to_be_focused()
    passed = []
    for _ in range(4):  # Ask, then the first answer's buttons: Stop is of no use now
        page.keyboard.press("Tab")
        focus = page.evaluate(
            "() => { const at = document.activeElement; const style = getComputedStyle(at);"
            " return [at.textContent.trim(), style.outlineStyle, parseFloat(style.outlineWidth)]; }"
        )
        passed.append(focus)
    assert passed == [[name, "solid", 3] for name in ("Ask", "Good", "Bad", "Best")]
    page.keyboard.press("Space")
    expect(answer(page, BASE).locator(".rated")).to_have_text("Saved as the best.")
    for _ in range(4):
        page.keyboard.press("Shift+Tab")
    expect(page.get_by_label("Question")).to_be_focused()
    page.keyboard.press("Shift+Tab")  # settings
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    expect(page.get_by_label("support", exact=False).first).not_to_be_checked()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_amiss_to_those_who_cannot_see_well(
    new_page: Any, endpoint: PlaygroundEndpoint, scheme: str
) -> None:
    page = new_page(endpoint.url, color_scheme=scheme, bypass_csp=True)  # axe brings its own script
    page.wait_for_selector("#choices input")
    page.evaluate("() => { document.getElementById('key-form').hidden = false; }")
    page.get_by_text("Settings").click()
    endpoint.model.breaks = endpoint.versions("handbook")[0]
    page.get_by_label("Retrieved passages").check()
    ask(page, "What does widget07a do?", BASE, "handbook", "support")
    answer(page, BASE).get_by_role("button", name="Good").click()
    answer(page, BASE).get_by_text("Comment", exact=True).click()
    answer(page, BASE).get_by_text("Answered with 3 sources").click()
    expect(answer(page, "handbook").locator(".trouble")).to_contain_text("Broke off")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found] == []
    dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(20, 21, 23)"
    assert dark == (scheme == "dark")


def test_a_phone_scrolls_in_one_direction(new_page: Any, endpoint: PlaygroundEndpoint) -> None:
    page = new_page(endpoint.url, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page.wait_for_selector("#choices input")
    page.get_by_text("Settings").click()
    endpoint.model.says = "word " + 200 * "w"
    ask(page, 200 * "q")
    expect(answer(page, "support").get_by_role("button", name="Good")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360
    for button in page.get_by_role("button").all():
        if button.is_visible():
            assert button.bounding_box()["height"] >= 36


def test_older_versions_can_be_set_against_the_newest(new_page: Any, endpoint: PlaygroundEndpoint) -> None:
    for weights, fields in ((b"one", {}), (b"two", {"load_inplace": True})):
        body = {"lora_name": "tone", "lora_path": endpoint.adapter("tone", weights)} | fields
        assert httpx.post(f"{endpoint.url}/v1/load_lora_adapter", json=body).status_code == 200
    page = new_page(endpoint.url)
    page.get_by_text("Versions").click()
    old = f"tone@{endpoint.versions('tone')[0]}"
    ask(page, "Why?", old, "tone")
    expect(answer(page, old).get_by_role("heading")).to_contain_text(endpoint.versions("tone")[0])
    expect(page.get_by_role("article", name="Answer of tone", exact=True)).to_contain_text(endpoint.versions("tone")[1])
    assert httpx.post(f"{endpoint.url}/v1/unload_lora_adapter", json={"lora_name": "tone"}).status_code == 200


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_model_that_fails_leaves_the_others_alone(page: Any, endpoint: PlaygroundEndpoint) -> None:
    endpoint.model.breaks = endpoint.versions("support")[0]
    endpoint.model.says = "one two three four"
    ask(page, "Count")
    expect(answer(page, "support").locator(".trouble")).to_have_text(
        "Broke off: the engine failed: the device is on fire"
    )
    expect(answer(page, BASE).locator(".text")).to_have_text("one two three four")
    expect(answer(page, BASE).get_by_role("button", name="Good")).to_be_visible()
    expect(answer(page, "support").get_by_role("button", name="Good")).to_be_hidden()


def test_a_model_that_may_not_answer_now_says_why_in_its_place(page: Any, endpoint: PlaygroundEndpoint) -> None:
    told: dict[str, Any] = {
        "arm": "support",
        "error": {"message": "this key has 2 answers open; at most 2; try again in 1 s"},
    }
    page.route(
        "**/v1/compare", lambda route: route.fulfill(status=200, body=f"data: {json.dumps(told)}\n\ndata: [DONE]\n\n")
    )
    ask(page, "Count", "support")
    expect(answer(page, "support").locator(".trouble")).to_have_text(f"Not answered: {told['error']['message']}")


def test_a_key_is_asked_for_and_stays_in_its_tab(new_page: Any, locked_endpoint: PlaygroundEndpoint) -> None:
    page = new_page(locked_endpoint.url)
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-trouble")).to_have_text("This key is not one of the endpoint's.")
    expect(field).to_be_focused()
    field.fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#key-form")).to_be_hidden()
    ask(page, "Why?", BASE)
    expect(answer(page, BASE).get_by_role("button", name="Good")).to_be_visible()
    stored = page.evaluate("() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie]")
    assert stored == [[KEY], [], ""]
    page.reload()
    page.wait_for_selector("#choices input")
    page.get_by_role("button", name="Forget the key").click()
    expect(field).to_be_focused()
    assert page.evaluate("() => sessionStorage.length") == 0


def refusing(status: int, message: str, **headers: str) -> Any:
    body = json.dumps({"error": {"message": message, "type": "", "param": None, "code": None}})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda route: route.fulfill(status=status, body=body, headers=named)


@pytest.mark.parametrize(
    ("handler", "line"),
    [
        (refusing(429, "too many wait", retry_after="7"), "Too much is being asked: too many wait; try again in 7 s"),
        (refusing(503, "the server is shutting down", retry_after="5"),
         "Not ready: the server is shutting down; try again in 5 s"),
        (lambda route: route.abort(),
         "The endpoint cannot be reached. Is it still running, and is the network up?"),
        (lambda route: route.fulfill(status=502, body="<html>"), "status 502"),
    ],
)  # fmt: skip
def test_a_question_that_is_refused_says_why_where_it_was_asked(page: Any, handler: Any, line: str) -> None:
    ask(page, "Before", BASE)
    expect(answer(page, BASE).get_by_role("button", name="Good")).to_be_visible()
    page.route("**/v1/compare", handler)
    ask(page, "Why?")
    expect(page.locator("#trouble")).to_have_text(line)
    expect(page.get_by_label("Question")).to_have_value("Why?")  # to be asked again
    expect(answer(page, BASE).locator(".text")).to_contain_text("user=Before")  # what was answered stays
    page.unroute("**/v1/compare")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#trouble")).to_have_text("")
    expect(answer(page, "support").get_by_role("button", name="Good")).to_be_visible()


def test_a_stream_that_breaks_off_keeps_what_was_said(page: Any) -> None:
    chunk = {"arm": BASE, "id": "chatcmpl-1", "ray_ft": {"version": "v"}, "completion_tokens": 1,
             "choices": [{"delta": {"content": "one "}, "finish_reason": None}]}  # fmt: skip
    page.route(
        "**/v1/compare", lambda route: route.fulfill(status=200, body=f": ping\n\ndata: {json.dumps(chunk)}\n\n")
    )
    ask(page, "Count", BASE)
    expect(answer(page, BASE).locator(".text")).to_have_text("one ")
    expect(answer(page, BASE).locator(".trouble")).to_have_text(
        "The connection broke off before the answer was complete."
    )


def test_models_that_are_not_there_yet_are_asked_for_again(new_page: Any, endpoint: PlaygroundEndpoint) -> None:
    page = new_page(endpoint.url)
    page.route("**/v1/models", refusing(503, "the model is not loaded yet", retry_after="1"))
    page.reload()
    expect(page.locator("#models-trouble")).to_have_text("Not ready: the model is not loaded yet; try again in 1 s")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    page.unroute("**/v1/models")
    page.wait_for_selector("#choices input")  # by itself
    expect(page.locator("#models-trouble")).to_have_text("")
