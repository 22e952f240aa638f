"""The dashboard and the page name series and labels that the endpoint has."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ray_ft.serving.access.keys import ApiKey
from ray_ft.serving.access.record import AskRecord, RequestRecord
from ray_ft.serving.exchange import Piece
from ray_ft.serving.operation.metrics import Gauges, Metrics

REPOSITORY = Path(__file__).parents[4]
PREFIX = "ray_ft_serve_"


@pytest.fixture(scope="module")
def labels() -> dict[str, set[str]]:
    """Of every series once everything has happened: two pieces of a stream whose client left, and a refused request."""
    ask = AskRecord("support", "v1", 1, opened=0.0)
    for piece in (Piece(0, "a", None, 0, 1), Piece(0, "b", "stop", 2, 3)):
        ask.count(piece, is_streamed=True)
    metrics = Metrics("here:1")
    metrics.ended(RequestRecord("id", ApiKey("one"), [ask], refused="queue_full", opened=0.0), "/v1/completions", 9.0)
    families = text_string_to_metric_families(metrics.text(Gauges(1, 2, False, 3, 4)).decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def test_every_series_says_whose_it_is(labels: dict[str, set[str]]) -> None:
    assert all(name.startswith(PREFIX) and "process" in found for name, found in labels.items())


def test_the_page_lists_all_series_with_their_labels(labels: dict[str, set[str]]) -> None:
    table = (REPOSITORY / "docs" / "guides" / "serve.md").read_text().split("`ray_ft_serve_...`")[1].split("\n\n")[0]
    told = {}
    for names, columns in re.findall(r"(?m)^\| (`[^|]*`) \| ([a-z, ]*)\|", table):
        told |= {PREFIX + name: {"process", *re.findall(r"\w+", columns)} for name in re.findall(r"`(\w+)`", names)}
    ours = {
        re.sub(r"_(bucket|sum|count)$", "", name): found - {"le"}
        for name, found in labels.items()
        if not name.endswith("_created")
    }
    assert told == ours


def test_the_dashboard_asks_for_series_and_labels_that_exist(labels: dict[str, set[str]]) -> None:
    dashboard = json.loads((REPOSITORY / "cluster" / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    named = {name for query in queries for name in re.findall(rf"{PREFIX}\w+", query)}
    assert named <= set(labels)
    whole = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in labels}
    assert whole - {name.removesuffix("_bucket").removesuffix("_created") for name in named} <= {
        re.sub(r"_total$", "", name) for name in named
    }
    for query in queries:
        [(name, selector), *_] = re.findall(rf"({PREFIX}\w+)(?:\{{([^}}]*)\}})?", query)
        asked = {*re.findall(r"(\w+)=", selector), *re.findall(r"by \(([^)]*)\)", query.replace(", ", " "))}
        assert {label for part in asked for label in part.split()} <= labels[name], query
