"""Values out of their range get one line that names the key and what would work."""

from typing import Any

import pytest

from ray_ft.config import parse_config
from ray_ft.errors import ConfigError

MINIMAL: dict[str, Any] = {
    "run_name": "handbook",
    "model": {"name": "builtin:tiny"},
    "data": {"sources": ["docs"], "recipes": ["paragraph"]},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"global_batch_size": 0}}, "train.global_batch_size: 0 must be at least 1"),
        ({"plan": {"num_gpus": 0}}, "plan.num_gpus: 0 must be at least 1"),
        ({"plan": {"num_gpus": 6, "gpus_per_node": 4}}, "plan.num_gpus: 6 must be a multiple of plan.gpus_per_node=4"),
        ({"plan": {"host_memory_gib": -1}}, "plan.host_memory_gib: -1.0 must be above 0"),
        ({"plan": {"price_per_hour": -2}}, "plan.price_per_hour: -2.0 must be 0 or more"),
        ({"plan": {"headroom_fraction": 1.5}}, r"plan.headroom_fraction: 1.5 must be in [0, 1)"),
        ({"plan": {"confidence": 2}}, "plan.confidence: 2.0 must be from 0.5 to 0.999"),
        (
            {"data": {"sources": ["docs"], "recipes": ["paragraph"], "near_copy_similarity": 0}},
            "data.near_copy_similarity: 0.0 must be above 0 and at most 1",
        ),
        ({"data": {"sources": ["docs"], "recipes": []}}, "data.recipes: [] must be a list of code_metadata"),
        ({"data": {"sources": [], "recipes": ["paragraph"]}}, "data.sources: [] must be a list with at least one"),
        ({"data": {"datasets": [{"path": "a.jsonl", "weight": 0}]}}, "data.datasets.0.weight: 0.0 must be above 0"),
        ({"data": {"datasets": ["a.jsonl", "a.jsonl"]}}, "data.datasets.0.path: 'a.jsonl' must be named once"),
        (
            {"data": {"datasets": ["a.jsonl"], "rehearsal": {"num_examples": 901}}},
            "data.rehearsal.num_examples: 901 must be from 1 to 900; data.rehearsal.weight says",
        ),
        ({"data": {"datasets": ["a.jsonl"], "rehearsal": {"weight": 0}}}, "data.rehearsal.weight: 0.0 must be above 0"),
        (
            {"data": {"datasets": ["a.jsonl"], "rehearsal": {"max_new_tokens": 513}}},
            "data.rehearsal.max_new_tokens: 513 must be from 8 to 512",
        ),
        (
            {"data": {"datasets": ["a.jsonl"], "rehearsal": {"temperature": -1}}},
            "data.rehearsal.temperature: -1.0 must be at least 0",
        ),
        (
            {"data": {"datasets": ["a.jsonl"], "storage_uri": "sets"}},
            "data.storage_uri: 'sets' must be a URI such as s3://bucket/sets, or null",
        ),
        (
            {"data": {"datasets": ["a.jsonl"], "storage_uri": "s3://key:secret@bucket/sets"}},
            "data.storage_uri: '***' must be a URI without a password: the environment has credentials",
        ),
        ({"data": {"rehearsal": {}}}, "data.sources: [] must be a list with at least one"),
        ({"evaluation": {"num_passages": 0}}, "evaluation.num_passages: 0 must be at least 1"),
        (
            {"evaluation": {"passage_tokens": [64, 8]}},
            "evaluation.passage_tokens: [64, 8] must be a list of",
        ),
        ({"evaluation": {"preferences": "p.jsonl"}}, "evaluation.preferences: 'p.jsonl' must be null without"),
        ({"evaluation": {"judge": "vllm"}}, "evaluation.judge.name: 'vllm' must be one that asks a server (openai)"),
        (
            {"evaluation": {"code_tests": {"k": [1, 5], "num_samples": 4}}},
            "evaluation.code_tests.k: [1, 5] must be a list of numbers from 1 to evaluation.code_tests.num_samples=4",
        ),
        ({"evaluation": {"code_tests": {"timeout_s": 0}}}, "evaluation.code_tests.timeout_s: 0.0 must be above 0"),
        ({"run_name": "a/b"}, "run_name: 'a/b' must be a folder name without '/'"),
    ],
)
def test_a_value_out_of_range_gets_one_line_that_names_key_and_remedy(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(MINIMAL | change, source="handbook.yaml")
    assert str(caught.value).startswith("handbook.yaml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
