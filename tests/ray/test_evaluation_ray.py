"""The whole evaluation on a cluster, with an engine whose right answers are known."""

import json
import math
import time
from pathlib import Path

import exam_fixtures
import pytest
import ray
from exam_fixtures import KnowingEngine, tuned_model, write_training_set
from ray import cloudpickle

from ray_ft.artifacts import Report, load, save
from ray_ft.config import CodeTestsConfig, EvaluationConfig, ModelConfig
from ray_ft.errors import ModelError
from ray_ft.evaluation.compare import compare

pytestmark = pytest.mark.ray
# Workers cannot import from the tests' folder.
cloudpickle.register_pickle_by_value(exam_fixtures)
MODEL = ModelConfig(name="fake", system_prompt=None)


def run(
    folder: Path, *, is_adapter: bool = True, engine: KnowingEngine | None = None, num_retention: int = 0
) -> Report:
    return compare(
        training_set=write_training_set(folder / "data"),
        tuned=tuned_model(folder / "models", is_adapter=is_adapter),
        model=MODEL,
        evaluation=EvaluationConfig(
            num_questions=24, max_new_tokens=32, num_bootstrap=1000, num_documents=12, num_retention=num_retention
        ),
        engine=engine or KnowingEngine(),
        run_path=str(folder / "run"),
        seed=0,
        fingerprint="r" * 16,
    )


def test_the_report_says_what_is_known_of_the_systems(ray_cluster: None, tmp_path: Path) -> None:
    report = run(tmp_path)
    means = {(s.stratum, s.system): s.mean for s in report.scores if s.metric == "key_fact_recall"}
    assert means == {
        ("seen", "base"): 0.0, ("seen", "tuned"): 1.0, ("seen", "base+rag"): 1.0, ("seen", "tuned+rag"): 1.0,
        ("held_out", "base"): 0.0, ("held_out", "tuned"): 0.0, ("held_out", "base+rag"): 1.0,
        ("held_out", "tuned+rag"): 1.0,
    }  # fmt: skip
    # The questions state none of the facts, and silence states nothing; the passages found state all of them.
    recall = {(s.system, s.mean) for s in report.baselines if s.metric == "key_fact_recall"}
    assert recall == {("echo", 0.0), ("empty", 0.0), ("copy", 1.0)}
    verdicts = {(c.stratum, c.treatment, c.control): c.verdict for c in report.contrasts if c.primary}
    # 12 questions on 12 documents: the exact two-sided p of 12 equal signs is 2 / 2^12 = 0.0005, times 6 still < 0.05.
    assert verdicts["seen", "tuned", "base"] == "better"
    assert verdicts["held_out", "tuned", "base"] == "undecided"  # neither knows anything
    assert verdicts["seen", "tuned", "base+rag"] == "undecided"  # all 12 are equal, and 237 of 237 would have to be
    assert verdicts["held_out", "tuned", "base+rag"] == "worse"
    bits = {s.system: s.mean for s in report.scores if s.metric == "bits_per_byte"}
    # 1.5 and 1.2 nats per byte over ln 2
    assert bits == pytest.approx({"base": 1.5 / math.log(2), "tuned": 1.2 / math.log(2)})
    assert all((tmp_path / "run" / name).is_file() for name in ("report.html", "report.md"))


def test_an_adapter_and_a_whole_model_that_answer_alike_give_the_same_samples(
    ray_cluster: None, tmp_path: Path
) -> None:
    first = run(tmp_path / "one", num_retention=20)
    second = run(tmp_path / "two", is_adapter=False, num_retention=20)
    lines = Path(first.samples_path).read_text().splitlines()
    assert lines == Path(second.samples_path).read_text().splitlines()
    assert first.scores == second.scores
    assert first.contrasts == second.contrasts
    (drift,) = [c.difference for c in first.contrasts if c.metric == "bits_per_token"]
    assert drift == pytest.approx(0.75 / math.log(2))  # 1.75 nats for each token that cost the base 1
    samples = [sample for sample in map(json.loads, lines) if sample["stratum"] != "retention"]
    assert (len(samples), len(lines)) == (24, 44)
    for sample in samples:
        answers = sample["answers"]
        assert list(answers) == ["base", "tuned", "base+rag", "tuned+rag"]
        assert answers["base"]["prompt"] == f"<user>{sample['question']}<assistant>"
        assert answers["base+rag"]["prompt_sha256"] == answers["tuned+rag"]["prompt_sha256"]
    path = save(first, tmp_path / "one" / "run")
    assert load(Report, path.parent) == first


def test_an_engine_that_refuses_to_load_ends_with_its_own_line(ray_cluster: None, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        run(tmp_path, engine=KnowingEngine(refuses="adapter of another base"))
    assert str(caught.value) == "adapter of another base"


def test_an_evaluation_that_breaks_gives_its_cpus_back_while_its_error_is_looked_at(
    ray_cluster: None, tmp_path: Path
) -> None:
    def all_are_free() -> bool:
        return ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]

    with pytest.raises(Exception, match="of nobody's") as caught:
        run(tmp_path, engine=KnowingEngine(breaks="an error of nobody's"))
    until = time.monotonic() + 10
    while not all_are_free() and time.monotonic() < until:
        time.sleep(0.1)
    assert all_are_free()
    del caught


def test_an_evaluation_makes_do_with_the_cpus_that_others_leave(ray_cluster: None, tmp_path: Path) -> None:
    held = ray.util.placement_group([{"CPU": ray.cluster_resources()["CPU"] - 1}])
    ray.get(held.ready(), timeout=60)
    try:
        report = run(tmp_path)
    finally:
        ray.util.remove_placement_group(held)
    assert ("held_out", "base+rag", 1.0) in {
        (s.stratum, s.system, s.mean) for s in report.scores if s.metric == "key_fact_recall"
    }


def test_drawn_programs_come_back_beside_the_answers_and_pass_their_tests(ray_cluster: None, tmp_path: Path) -> None:
    training_set = write_training_set(tmp_path / "data")
    path = Path(training_set.path) / "questions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row |= {"language": "bash", "test": "grep -q crank program.sh"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tests = CodeTestsConfig(command="/bin/sh {test} {program}", num_samples=2, k=(1, 2), max_parallel=4)
    report = compare(
        training_set=training_set,
        tuned=tuned_model(tmp_path / "models"),
        model=MODEL,
        evaluation=EvaluationConfig(
            systems=("base", "tuned"), num_questions=12, max_new_tokens=32, num_bootstrap=200, num_documents=0,
            code_tests=tests,
        ),
        engine=KnowingEngine(),
        run_path=str(tmp_path / "run"),
        seed=0,
        fingerprint="r" * 16,
    )  # fmt: skip
    means = {(s.stratum, s.system, s.metric): s.mean for s in report.scores if s.metric.startswith("pass@")}
    assert means["seen", "tuned", "pass@1"] == means["seen", "tuned", "pass@2"] == 1.0
    assert means["seen", "base", "pass@1"] == 0.0
    assert report.num_questions == 12
    lines = [json.loads(line) for line in (tmp_path / "run/evaluation/programs.jsonl").read_text().splitlines()]
    assert sorted({(row["system"], row["sample"]) for row in lines}) == [
        ("base", 1), ("base", 2), ("reference", 0), ("tuned", 1), ("tuned", 2),
    ]  # fmt: skip
    samples = [json.loads(line) for line in Path(report.samples_path).read_text().splitlines()]
    assert all("pass@1" in sample["answers"]["tuned"]["scores"] for sample in samples)
