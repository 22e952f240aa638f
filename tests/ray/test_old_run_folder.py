"""A run folder that revision 0de0c56 wrote is taken as it is: skipped, looked at, resumed, evaluated, served, exported.

tests/data/run_0de0c56/README.md says how it was made.
"""

import json
import logging
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import ray_ft
from ray_ft.engines import TransformersEngine

pytestmark = [pytest.mark.ray, pytest.mark.long]

REPOSITORY = Path(__file__).parents[2]
OLD = REPOSITORY / "tests" / "data" / "run_0de0c56"
PLACEHOLDER = "@RUN@"
LAST = "step-000006"
ADAPTER = "adapter_model.safetensors"


def filled_copy(folder: Path) -> Path:
    """A copy with its own path in every text file; the checkpoints list the sizes that those files now have."""
    shutil.copytree(OLD, folder, ignore=shutil.ignore_patterns("make.py", "README.md"))
    filled = set()
    for path in (p for p in folder.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        if PLACEHOLDER.encode() in raw:
            path.write_text(raw.decode("utf-8").replace(PLACEHOLDER, str(folder)), encoding="utf-8")
            filled.add(path)
    for path in folder.rglob("checkpoint.json"):
        record = json.loads(path.read_text())
        record["files"] |= {n: size_of(path.parent / n) for n in record["files"] if path.parent / n in filled}
        path.write_text(json.dumps(record))
    return folder


def size_of(path: Path) -> int:
    return path.stat().st_size


def answers_of(samples: Path) -> dict[tuple[str, str], str]:
    """By question and plain system: what retrieval finds depends on what a word is."""
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    return {(row["question"], system): row["answers"][system]["answer"] for row in rows for system in ("base", "tuned")}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def weights(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(path))


def snapshot(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled_copy(tmp_path_factory.mktemp("old") / "run").resolve()


@pytest.fixture(scope="module")
def config(folder: Path) -> ray_ft.Config:
    return ray_ft.load_config(folder / "config.yaml")


def test_all_of_it_is_up_to_date_and_nothing_is_written(
    config: ray_ft.Config, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = snapshot(folder)
    with caplog.at_level(logging.INFO, logger="ray_ft"):
        training_set, report = ray_ft.prepare(config), ray_ft.run(config)
    assert caplog.messages == [f"{verb}: up to date, skipped" for verb in ("prepare", "prepare", "train", "evaluate")]
    noted = folder / "runs" / "old" / "data.work" / "known"  # what sources held, so that they are not read again
    assert {path: was for path, was in snapshot(folder).items() if path != noted} == before
    kept = read(OLD / "runs" / "old" / "report.json")["artifact"]
    assert (training_set.num_questions, report.num_questions) == (21, 6)
    assert [c.difference for c in report.contrasts] == [c["difference"] for c in kept["contrasts"]]


def test_a_change_of_the_documents_is_still_noticed(tmp_path: Path) -> None:
    copy = filled_copy(tmp_path / "run")
    (copy / "docs" / "maps.md").write_text("# MapsBase\n\nMapsBase was given up.\n")
    with pytest.raises(ray_ft.ConfigError, match="made from other data"):
        ray_ft.prepare(ray_ft.load_config(copy / "config.yaml"))


def test_the_settings_that_were_saved_load_as_the_ones_given(config: ray_ft.Config) -> None:
    # The engine was one that the config did not name then, and is chosen by the machine now.
    saved = replace(config, engine=TransformersEngine(batch_size=1))
    assert ray_ft.load_config(config.run_path / "config.yaml") == saved


def test_the_command_line_shows_the_run(config: ray_ft.Config, folder: Path) -> None:
    command = [sys.executable, "-m", "ray_ft", "show", str(folder / "config.yaml")]
    shown = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120).stdout
    assert shown.count(".json ") == 4
    assert "not yet" not in shown


def test_its_training_set_can_be_inspected(config: ray_ft.Config, tmp_path: Path) -> None:
    about = ray_ft.inspect(config, num_examples=3, path=tmp_path / "shared")
    made = read(OLD / "runs" / "old" / "training_set.json")["artifact"]
    of_split = {s: sum(counts.get(s, 0) for counts in about.examples.values()) for s in made["num_examples"]}
    assert of_split == made["num_examples"]
    assert len(about.samples) == 3
    assert about.leaks == ()


def test_its_documents_are_prepared_again_to_the_same_answers_where_these_say_enough(
    ray_cluster: None, tmp_path: Path
) -> None:
    config = ray_ft.load_config(filled_copy(tmp_path / "run") / "config.yaml")
    before = examples_of(config.run_path / "data")
    made = ray_ft.prepare(config, force=True)  # beside the work that the old run left for another prepare
    after = examples_of(Path(made.path))
    assert after.keys() <= before.keys()
    assert made.num_examples == {s: sum(key[2] == s for key in after) for s in ("train", "validation", "test")}
    names = ("Contracts", "Drawings", "Invoices", "Letters", "Maps", "Orders", "Permits", "Tickets")
    # A sentence or two are too little for what a document says about something.
    too_little = {f"What does “{n}Base” say about “{t}”?" for n in names for t in (f"{n}Base and service", "Install")}
    assert {before[key] for key in before.keys() - after.keys()} == too_little
    asked_otherwise = {prompt for key, prompt in after.items() if prompt != before[key]}
    assert asked_otherwise == {f"According to “{name}Base”, how do I back up?" for name in names}


def examples_of(folder: Path) -> dict[tuple[str, str, str, str], str]:
    """The prompt of each example by its answer, recipe, split and document."""
    import pyarrow.parquet as pq

    columns = ["prompt", "completion", "recipe", "split", "document_id"]
    rows = pq.read_table(folder / "examples.parquet", columns=columns).to_pylist()
    found = {(row["completion"], row["recipe"], row["split"], row["document_id"]): row["prompt"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_training_goes_on_from_its_checkpoint_to_the_same_adapter(ray_cluster: None, tmp_path: Path) -> None:
    import torch

    config = ray_ft.load_config(filled_copy(tmp_path / "run") / "config.yaml")
    run_path = config.run_path
    shutil.rmtree(run_path / "checkpoints" / LAST)
    shutil.rmtree(run_path / "adapter")
    for name in ("tuned_model.json", "report.json"):
        (run_path / name).unlink()
    plan, middle = (run_path / "plan.json").read_bytes(), run_path / "checkpoints" / "step-000003"
    untouched = snapshot(middle)

    tuned = ray_ft.train(config, resume=True)

    assert tuned.steps == 6
    assert (run_path / "plan.json").read_bytes() == plan
    assert snapshot(middle) == untouched  # steps 1 to 3 were not trained again
    kept, made = weights(OLD / "runs" / "old" / "adapter" / ADAPTER), weights(Path(tuned.path) / ADAPTER)
    assert kept.keys() == made.keys()
    # Other numbers of threads and other processors sum in another order.
    assert [name for name in kept if not torch.allclose(made[name], kept[name], atol=1e-5)] == []
    # What is compared moved since the checkpoint, by far more than that.
    then = weights(middle / "adapter" / ADAPTER)
    assert all(not torch.allclose(made[name], then[name], atol=1e-3) for name in kept)
    logged = [json.loads(line) for line in (run_path / "metrics.jsonl").read_text().splitlines()]
    before = [json.loads(line) for line in (OLD / "runs" / "old" / "metrics.jsonl").read_text().splitlines()]
    (warned,) = [line["warning"] for line in logged if "warning" in line]
    assert "has no digests, being an earlier version's" in warned
    assert [line["step"] for line in logged if "warning" not in line] == [line["step"] for line in before]


def test_it_is_evaluated_again_to_the_same_figures(ray_cluster: None, tmp_path: Path) -> None:
    config = ray_ft.load_config(filled_copy(tmp_path / "run") / "config.yaml")
    report = ray_ft.evaluate(config, force=True)
    kept = read(OLD / "runs" / "old" / "report.json")["artifact"]
    assert report.num_questions == kept["num_questions"] == 6
    made = {(s.system, s.metric, s.stratum): s.mean for s in report.scores}
    before = {(s["system"], s["metric"], s["stratum"]): s["mean"] for s in kept["scores"]}
    assert before.keys() <= made.keys()  # there are more metrics now
    # What a word is, and when a fact counts as stated, has changed since; the answers and the bits have not.
    same = [key for key in before if key[1] in ("bits_per_byte", "truncated")]
    assert [made[key] for key in same] == pytest.approx([before[key] for key in same], abs=1e-4)
    assert answers_of(Path(report.samples_path)) == answers_of(OLD / "runs" / "old" / "evaluation" / "samples.jsonl")
    of_base, of_tuned = (
        next(s.mean for s in report.scores if (s.system, s.metric) == (system, "bits_per_byte"))
        for system in ("base", "tuned")
    )
    assert of_base - of_tuned > 1e-3  # the adapter was in use


@pytest.fixture(scope="module")
def url(ray_cluster: None, folder: Path) -> Iterator[str]:
    from ray import serve

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = ray_ft.load_config(folder / "config.yaml", [f"serving.port={port}"])
    yield ray_ft.serve(config, blocking=False).url
    serve.shutdown()


def test_it_is_served_with_the_answers_of_its_evaluation(config: ray_ft.Config, url: str) -> None:
    sample = json.loads((OLD / "runs" / "old" / "evaluation" / "samples.jsonl").read_text().splitlines()[0])
    answers = sample["answers"]
    assert answers["tuned"]["answer"] != answers["base"]["answer"]
    for model, system in ((config.model.name, "base"), ("old", "tuned")):
        body = {"model": model, "prompt": answers[system]["prompt"], "max_tokens": config.evaluation.max_new_tokens}
        reply = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
        assert reply.status_code == 200, reply.text
        assert reply.json()["choices"][0]["text"] == answers[system]["answer"]


def test_it_is_exported_beside_its_base_and_merged(config: ray_ft.Config, folder: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    merged_path = ray_ft.export(config, tmp_path / "merged", merge=True)
    adapter_path = ray_ft.export(config, tmp_path / "adapter", merge=False)
    kept = weights(OLD / "runs" / "old" / "adapter" / ADAPTER)
    exported = weights(adapter_path / ADAPTER)
    assert kept.keys() == exported.keys()
    assert all(torch.equal(exported[name], kept[name]) for name in kept)
    ids = torch.arange(4, 40).unsqueeze(0)
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    with torch.no_grad():
        plain = base(ids).logits
        beside = PeftModel.from_pretrained(base, adapter_path)(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(merged_path)(ids).logits
    assert not torch.allclose(beside, plain, atol=1e-3)
    # (W + BA)x and Wx + BAx differ by fp32 rounding only.
    torch.testing.assert_close(merged, beside, atol=1e-4, rtol=1e-4)
