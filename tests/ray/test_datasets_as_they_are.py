"""A run on conversations and text that are there already: no document, no recipe, and every verb works."""

import json
from pathlib import Path
from typing import Any

import pytest

import ray_ft
from ray_ft.artifacts import TrainingSet, load
from ray_ft.config import Config, parse_config
from ray_ft.errors import DataError

pytestmark = pytest.mark.ray

NUM_CHATS = 40


def _lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def _chat(i: int) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": f"When does ferry {i} leave?"},
            {"role": "assistant", "content": f"Ferry {i} leaves at {i % 24}:15 from gate {i % 7}."},
            {"role": "user", "content": "How long does it take?"},
            {"role": "assistant", "content": f"It takes {20 + i} minutes."},
        ]
    }


def _config(root: Path, model: str, datasets: list[Any], **evaluation: Any) -> Config:
    return parse_config(
        {
            "run_name": "as-they-are",
            "output_dir": str(root / "outputs"),
            "model": {"name": model, "max_seq_len": 192},
            "data": {"datasets": datasets, "validation_fraction": 0.1, "test_fraction": 0.2},
            "train": {"strategy": {"name": "lora", "r": 4}, "max_steps": 3, "global_batch_size": 2},
            "evaluation": {"num_questions": 4, "max_new_tokens": 8, "num_bootstrap": 200, **evaluation},
        }
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str, ray_cluster: None) -> Config:
    root = tmp_path_factory.mktemp("chats")
    bad = ['{"messages": [', {"messages": [{"role": "user", "content": "Nobody answers."}]}]
    chats = _lines(root / "chats.jsonl", [_chat(i) for i in range(NUM_CHATS)] + bad)
    pairs = _lines(root / "pairs.jsonl", [{"prompt": f"Ask {i}?", "completion": f"Say {i}."} for i in range(30)])
    return _config(root, tiny_model_path, [chats, {"path": pairs, "weight": 0.5, "split": "train"}])


@pytest.fixture(scope="module")
def rehearsed(config: Config) -> ray_ft.DryRun:
    return ray_ft.dry_run(config)


@pytest.fixture(scope="module")
def report(config: Config, rehearsed: ray_ft.DryRun) -> ray_ft.Report:
    return ray_ft.run(config)


def test_a_dry_run_prepares_checks_and_shows_without_training(config: Config, rehearsed: ray_ft.DryRun) -> None:
    assert rehearsed.num_steps == 3
    assert rehearsed.gate.num_ends_of_turn > NUM_CHATS  # two in each conversation that is trained on
    assert rehearsed.gate.packing_difference is not None
    assert rehearsed.gate.packing_difference < 1e-5
    assert [e.number for e in rehearsed.examples[:2]] == [1, 2]
    trained = [p.text for e in rehearsed.examples for p in e.passages if p.trained]
    assert all(text.endswith("<|im_end|>") for text in trained)
    assert 0 < rehearsed.num_trained_parameters < rehearsed.num_parameters


def test_every_line_is_accounted_for_and_the_split_is_by_conversation(config: Config, rehearsed: ray_ft.DryRun) -> None:
    import pyarrow.parquet as pq

    made = load(TrainingSet, config.run_path)
    assert made.records == {"ok": 70, "skipped: no assistant turn": 1, "skipped: not valid JSON": 1}
    documents = pq.read_table(Path(made.path) / "documents.parquet").to_pylist()
    assert {d["path"]: d["note"] for d in documents if d["status"] == "skipped"} == {
        "chats.jsonl:41": "Expecting value at column 15",
        "chats.jsonl:42": "",
    }
    examples = pq.read_table(Path(made.path) / "examples.parquet").to_pylist()
    splits = {d["id"]: d["split"] for d in documents}
    assert all(splits[e["document_id"]] == e["split"] for e in examples if e["split"])
    assert {e["split"] for e in examples if e["recipe"] == "messages"} == {"train", "validation", "test"}
    assert {e["split"] for e in examples if e["recipe"] == "prompt"} == {"train", ""}


def test_the_manifest_accounts_for_the_weights(config: Config, rehearsed: ray_ft.DryRun) -> None:
    made = load(TrainingSet, config.run_path)
    manifest = json.loads((Path(made.path) / "shards" / "manifest.json").read_text())
    assert set(manifest["mixture"]) == {"chats.jsonl", "pairs.jsonl"}
    pairs = made.mixture["pairs.jsonl"]
    # Of 30 examples at weight 0.5, the number drawn is within 4 standard deviations of 15: sqrt(30 / 4) = 2.7.
    assert (pairs.weight, pairs.num_available) == (0.5, 30)
    assert 4 <= pairs.num_examples <= 26
    assert made.dropped_examples == {"not drawn at weight 0.5": 30 - pairs.num_examples}
    assert sum(share.num_tokens for share in made.mixture.values()) == made.num_tokens["train"]
    assert sum(share.num_target_tokens for share in made.mixture.values()) == made.num_target_tokens["train"]
    assert manifest["splits"]["train"]["num_chat_examples"] == made.num_examples["train"]


def test_the_whole_run_works_and_says_that_nothing_can_be_retrieved(config: Config, report: ray_ft.Report) -> None:
    assert {score.system for score in report.scores} == {"base", "tuned"}
    assert report.num_questions == 4
    assert report.notes[0] == "There is no document to retrieve from, so base+rag and tuned+rag were not compared."
    questions = [json.loads(line) for line in Path(report.samples_path).read_text().splitlines()]
    assert all(q["question"].startswith("When does ferry") for q in questions)
    assert {q["stratum"] for q in questions} == {"held_out"}


def test_plain_text_alone_is_packed_with_passages_to_retrieve_and_without_a_masked_prompt(
    ray_cluster: None, tiny_model_path: str, tmp_path: Path
) -> None:
    rows = [{"text": f"The ferry number {i} leaves from a gate on the northern pier."} for i in range(30)]
    config = _config(tmp_path, tiny_model_path, [_lines(tmp_path / "text.jsonl", rows)])
    rehearsed = ray_ft.dry_run(config)
    made = load(TrainingSet, config.run_path)
    assert (made.recipes, made.num_questions) == (("text",), 0)
    assert sum(made.num_documents.values()) == 30
    assert len(list((Path(made.path) / "passages.parquet").iterdir())) == 1
    assert all([p.trained for p in e.passages] == [False, True] for e in rehearsed.examples)


def test_a_dataset_without_a_usable_line_ends_in_one_line(
    ray_cluster: None, tiny_model_path: str, tmp_path: Path
) -> None:
    config = _config(tmp_path, tiny_model_path, [_lines(tmp_path / "bad.jsonl", ["{", {"instruction": "a"}])])
    with pytest.raises(
        DataError, match=r"no line of data\.datasets can be used: 1 keys of no format, 1 not valid JSON"
    ):
        ray_ft.prepare(config)


def test_a_template_that_rewrites_turns_is_named_at_the_first_conversation_and_turns_apart_work(
    ray_cluster: None, tiny_model_path: str, tmp_path: Path
) -> None:
    template = tmp_path / "template.jinja"
    template.write_text(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{{ '.' if loop.last }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    path = _lines(tmp_path / "chats.jsonl", [_chat(i) for i in range(12)])
    config = _config(tmp_path, tiny_model_path, [path])
    with pytest.raises(
        DataError, match=r"chats\.jsonl:1: conversations of several turns cannot be masked.*turns=apart"
    ):
        ray_ft.prepare(parse_config(ray_ft.config.to_plain(config), [f"model.chat_template={template}"]))
    raw = ray_ft.config.to_plain(config)
    raw["data"]["datasets"][0]["turns"] = "apart"
    made = ray_ft.prepare(parse_config(raw, [f"model.chat_template={template}"]))
    assert sum(made.num_examples.values()) == 24
