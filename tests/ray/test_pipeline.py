"""The whole line on one small folder; what is done is skipped, and nothing is mixed up."""

import json
import socket
from pathlib import Path

import httpx
import pytest

import ray_ft
from ray_ft.config import Config, parse_config
from ray_ft.errors import ConfigError
from ray_ft.serving.deploy import shutdown

pytestmark = pytest.mark.ray

GUIDE = """# {product}

{product} is a service that keeps the {noun} of a company in order.

## Install

Run `{command} install` on the head node. It listens on port {port} and needs {memory} GiB of memory.

## Back up

Run `{command} backup --to FOLDER` every night. A backup is kept for {days} days.
"""

CODE = '''"""Client of {product}."""


def connect_{command}(host: str, port: int = {port}) -> str:
    """Open a session with the {noun} of {product} and return its address."""
    return f"{{host}}:{{port}}"


def backup_{command}(folder: str, days: int = {days}) -> list[str]:
    """List the backups in a folder that are younger than the given number of days."""
    return [name for name in folder.split("/") if name][:days]
'''


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str, ray_cluster: None) -> Config:
    root = tmp_path_factory.mktemp("company")
    docs = root / "docs"
    docs.mkdir()
    for i, noun in enumerate(["invoices", "contracts", "tickets", "recipes", "drawings", "letters", "orders", "maps"]):
        values = {
            "product": f"{noun.title()}Base", "noun": noun, "command": f"{noun[:3]}ctl", "port": 7000 + i,
            "memory": 2 + i, "days": 10 + i,
        }  # fmt: skip
        (docs / f"{noun}.md").write_text(GUIDE.format(**values))
        (docs / f"{noun}.py").write_text(CODE.format(**values))
    return parse_config(
        {
            "run_name": "company",
            "output_dir": str(root / "outputs"),
            "model": {"name": tiny_model_path, "max_seq_len": 256},
            "data": {"sources": [str(docs)], "recipes": ["qa", "code_summary"], "test_fraction": 0.25},
            "train": {"strategy": {"name": "qlora", "r": 4}, "max_steps": 4, "global_batch_size": 2},
            "evaluation": {"num_questions": 6, "max_new_tokens": 8, "num_bootstrap": 200},
        }
    )


@pytest.fixture(scope="module")
def report(config: Config) -> ray_ft.Report:
    return ray_ft.run(config)


def test_one_call_makes_every_artifact_of_a_run(config: Config, report: ray_ft.Report) -> None:
    made = {path.name for path in config.run_path.iterdir()}
    expected = {"config.yaml", "training_set.json", "plan.json", "tuned_model.json", "report.json", "report.html"}
    assert expected | {"report.md", "data", "checkpoints", "adapter", "metrics.jsonl"} <= made
    assert {score.system for score in report.scores} >= {"base", "tuned", "base+rag", "tuned+rag"}


def test_a_second_run_returns_the_same_report_without_doing_anything(config: Config, report: ray_ft.Report) -> None:
    def times() -> dict[Path, int]:
        noted = config.run_path / "data.work" / "known"  # what sources held, so that they are not read again
        files = (path for path in config.run_path.rglob("*") if path.is_file() and path != noted)
        return {path: path.stat().st_mtime_ns for path in files}

    before = times()
    assert ray_ft.run(config) == report
    assert times() == before


def test_a_run_folder_of_another_config_is_refused_with_the_difference(config: Config, report: ray_ft.Report) -> None:
    before = (config.run_path / "training_set.json").read_text()
    other = parse_config(ray_ft.config.to_plain(config), ["data.test_fraction=0.3"])
    with pytest.raises(ConfigError, match=r"data\.test_fraction: 0\.25 -> 0\.3.*--force"):
        ray_ft.run(other)
    assert (config.run_path / "training_set.json").read_text() == before


def test_the_adapter_loads_in_plain_peft_and_the_merged_export_in_plain_transformers(
    config: Config, report: ray_ft.Report, tiny_model_path: str, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merged_path = ray_ft.export(config, tmp_path / "merged", merge=True)
    adapter_path = ray_ft.export(config, tmp_path / "adapter")
    ids = AutoTokenizer.from_pretrained(merged_path)("Run invctl backup every night", return_tensors="pt").input_ids
    base = AutoModelForCausalLM.from_pretrained(tiny_model_path)
    with torch.no_grad():
        plain = base(ids).logits
        beside = PeftModel.from_pretrained(base, adapter_path)(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(merged_path)(ids).logits
    assert not torch.equal(beside, plain)  # the adapter does something
    # (W + BA)x and Wx + BAx differ by fp32 rounding only.
    torch.testing.assert_close(merged, beside, atol=1e-4, rtol=1e-4)


def test_the_endpoint_gives_the_answers_that_were_evaluated(config: Config, report: ray_ft.Report) -> None:
    samples = [json.loads(line) for line in Path(report.samples_path).read_text().splitlines()]
    served_as = {"base": config.model.name, "tuned": config.run_name}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = ray_ft.serve(parse_config(ray_ft.config.to_plain(config), [f"serving.port={port}"]), blocking=False)
    compared = 0
    try:
        for sample in samples[:3]:
            for system, answer in sample["answers"].items():
                body = {
                    "model": served_as[system.removesuffix("+rag")],
                    "prompt": answer["prompt"],
                    "max_tokens": config.evaluation.max_new_tokens,
                }
                reply = httpx.post(f"{endpoint.url}/v1/completions", json=body, timeout=60)
                assert reply.status_code == 200, reply.text
                assert reply.json()["choices"][0]["text"] == answer["answer"]
                compared += 1
    finally:
        shutdown()
    assert compared == 12  # three questions, four systems


def test_a_run_is_measured_in_the_forms_that_it_has(config: Config, report: ray_ft.Report) -> None:
    small = ["prompt_tokens=16", "new_tokens=3", "batch_size=2", "num_questions=4", "forms=[adapter,merged]"]
    asked = [f"bench.{key}" for key in (*small, "quantizations=[none,fp8]")]
    measured = parse_config(ray_ft.config.to_plain(config), asked)
    before = (config.run_path / "config.yaml").read_text()
    made = ray_ft.bench(measured)
    told = {v.name: (v.refused, v.num_answers, len(v.speeds), v.quality is not None) for v in made.variants}
    refused = ("transformers holds weights as none, int8, nf4", 0, 0, False)
    assert told == {
        "fp32 adapter": ("", 4, 2, True), "fp32 merged": ("", 4, 2, True), "fp8 adapter": refused, "fp8 merged": refused
    }  # fmt: skip
    # (W + BA)x and Wx + BAx differ by fp32 rounding only, and four greedy answers of eight tokens do not.
    assert [v.num_same for v in made.variants[:2]] == [4, 4]
    answers = (config.run_path / "bench" / "answers.jsonl").read_text().splitlines()
    assert len(answers) == 8
    assert not (config.run_path / "bench" / "merged").exists()
    assert "fp32 merged" in (config.run_path / "bench.md").read_text()
    assert (config.run_path / "config.yaml").read_text() == before
    assert ray_ft.bench(measured) == made  # nothing is measured again


def test_the_report_page_and_its_json_agree(config: Config, report: ray_ft.Report) -> None:
    saved = json.loads((config.run_path / "report.json").read_text())["artifact"]
    page = Path(report.html_path).read_text()
    assert saved["num_questions"] == report.num_questions
    assert "tuned+rag" in page
    assert f"{report.num_questions}" in page
