"""What is promised of a run, on a real GPU: it learns, resumes exactly, takes what was planned, is served as tuned.

Runs go through the worker's loop in this process: through Ray each takes most of a minute to start its processes. The
run that is served goes the whole way.
"""

import gc
import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from worker_loop import run_alone

import ray_ft
from ray_ft import artifacts
from ray_ft.api.base_model import base_path
from ray_ft.api.fingerprints import train_inputs
from ray_ft.config import Config, parse_config
from ray_ft.hardware import Hardware, detect
from ray_ft.serving.deploy import shutdown
from ray_ft.training.fine_tune import make_task
from ray_ft.training.reporting.metrics import METRICS_FILE, read_metrics
from ray_ft.training.task import TrainingTask

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")]
DOCUMENTS = Path(__file__).parents[2] / "docs"
LORA = {"name": "lora", "r": 8, "zero_stage": 0}
FULL_1 = {"name": "full", "zero_stage": 1, "offload": "none"}
PLAIN = {"compile": False}  # compiled layers are test_kernels_gpu.py's and the served run's; they cost 20 seconds each
RUNS: dict[str, dict[str, Any]] = {
    "full-1": {"strategy": FULL_1, **PLAIN},
    "lora-fp16": {"strategy": LORA, "precision": "fp16", **PLAIN},
    "qlora-nf4": {"strategy": {"name": "qlora", "lora_dropout": 0.1, "zero_stage": 0}, **PLAIN},
    "qlora-int8": {"strategy": {"name": "qlora", "zero_stage": 0, "bits": 8}, **PLAIN},
    "deepspeed-fp16": {"strategy": FULL_1, "backend": "deepspeed", "precision": "fp16", **PLAIN},
}
RESUMED = ("full-1", "qlora-nf4")
HALF_WAY = Path("checkpoints") / "step-000010"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str, ray_cluster: None) -> Config:
    """A run with a training set and nothing else; tests begin with a copy of its folder."""
    config = parse_config(
        {
            "run_name": "prepared",
            "output_dir": str(tmp_path_factory.mktemp("gpu")),
            "model": {"name": tiny_model_path, "max_seq_len": 256},
            "data": {
                "sources": [str(DOCUMENTS)], "recipes": ["paragraph", "qa"], "validation_fraction": 0.2,
                "test_fraction": 0.1,
            },
            "train": {
                "max_steps": 20, "checkpoint_every": 10, "eval_every": 1, "learning_rate": 3e-3, "num_workers": 1,
            },
            "evaluation": {"num_questions": 4, "max_new_tokens": 24, "num_bootstrap": 200},
        }
    )  # fmt: skip
    ray_ft.prepare(config)
    return config


@pytest.fixture(scope="module")
def hardware(ray_cluster: None) -> Hardware:
    """This machine's GPU, of which Ray is asked once."""
    found = detect()
    assert not found.is_cpu
    return found


def begin(prepared: Config, run_name: str, **train: Any) -> Config:
    """Another run with the same training set, in a folder that knows of no other place."""
    plain = ray_ft.config.to_plain(prepared)
    config = parse_config(plain | {"run_name": run_name, "train": plain["train"] | train})
    shutil.copytree(prepared.run_path, config.run_path)
    for path in config.run_path.glob("*.json"):
        path.write_text(path.read_text().replace(str(prepared.run_path), str(config.run_path)))
    return config


def task_of(config: Config, hardware: Hardware) -> TrainingTask:
    """What `ray_ft.train` would hand to its worker."""
    training_set = artifacts.load(artifacts.TrainingSet, config.run_path)
    plan = ray_ft.plan(config, hardware=hardware)
    return make_task(
        training_set, plan, model=config.model, model_path=base_path(config), train=config.train,
        run_path=str(config.run_path), seed=config.seed, inputs=train_inputs(config, training_set),
    )  # fmt: skip


def make_room() -> int:
    """Free what the tests before have left on the GPU; the bytes of what is still held, such as a fixture's."""
    gc.collect()
    torch.compiler.reset()  # the limit of recompilations counts those of the tests before
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())


def trained(task: TrainingTask) -> dict[str, float]:
    """The metrics of a run that has to succeed; nothing of the runs before it is left on the GPU, or counted."""
    make_room()
    (outcome,) = run_alone([task])
    assert isinstance(outcome, dict), outcome
    return outcome


@pytest.mark.parametrize("name", [name for name in RUNS if name not in RESUMED])
def test_the_validation_loss_falls(name: str, prepared: Config, hardware: Hardware) -> None:
    task = task_of(begin(prepared, name, **RUNS[name]), hardware)
    if task.backend == "deepspeed":
        skip_without_deepspeed()
    learned(task)


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_ends_in_the_weights_of_the_run_that_learned(
    name: str, prepared: Config, hardware: Hardware
) -> None:
    task = task_of(begin(prepared, name, **RUNS[name]), hardware)
    learned(task)
    resumed = replace(task, run_path=f"{task.run_path}-resumed")
    shutil.copytree(Path(task.run_path) / HALF_WAY, Path(resumed.run_path) / HALF_WAY)
    trained(resumed)
    assert min(line["step"] for line in metrics_lines(resumed) if "loss" in line) == 11
    assert weights(resumed) == weights(task)


def learned(task: TrainingTask) -> None:
    """Train; the run has to end with a lower validation loss than it had after its first step."""
    metrics = trained(task)
    first = next(line["validation_loss"] for line in metrics_lines(task) if "validation_loss" in line)
    # A random base starts near ln(4096) = 8.3 nats; 20 steps must be worth more than rounding in 16 bits.
    assert metrics["validation_loss"] < first - 0.05


def metrics_lines(task: TrainingTask) -> list[dict[str, Any]]:
    return read_metrics(Path(task.run_path) / METRICS_FILE)


def weights(task: TrainingTask) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in task.output_path.glob("*.safetensors")}
    assert found
    return found


def skip_without_deepspeed() -> None:
    """Without offload DeepSpeed compiles nothing, but some versions cannot be imported without a CUDA toolkit."""
    try:
        import deepspeed  # noqa: F401
    except Exception as error:  # DeepSpeed's own class for it is in what cannot be imported
        pytest.skip(f"DeepSpeed cannot be imported: {error}")


def test_a_run_takes_the_memory_that_was_planned(prepared: Config, hardware: Hardware, tmp_path: Path) -> None:
    config = begin(prepared, "planned", strategy=LORA, max_steps=4, gradient_checkpointing=True)
    model = replace(config.model, name=a_model_of_a_billion(config.model.name, tmp_path / "model"))
    task = task_of(replace(config, model=model), hardware)
    held = make_room() / 2**30
    trained(task)
    plan = artifacts.load(artifacts.Plan, task.run_path)
    allocated = max(line["peak_allocated_gib"] for line in metrics_lines(task) if "peak_allocated_gib" in line)
    # Of the device other processes may take a share too; of what tensors take, whatever tests before still hold.
    assert held < 0.1, f"{held:.2f} GiB are held by tests before"
    assert plan.estimate.memory.allocated / 2**30 == pytest.approx(allocated - held, rel=0.05)


def a_model_of_a_billion(tokenizer_path: str, folder: Path) -> str:
    """A Llama of 1.1 billion random weights with the tiny model's tokenizer, as a folder."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    shape = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}
    config = AutoConfig.from_pretrained(tokenizer_path, **shape, num_key_value_heads=8, head_dim=64)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_path).save_pretrained(folder)
    return str(folder)


def test_an_adapter_is_served_as_it_was_evaluated(prepared: Config) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = begin(prepared, "served", strategy=LORA)
    config = parse_config(
        ray_ft.config.to_plain(config), [f"serving.port={port}", "engine.batch_size=1"]
    )  # in 16 bits neighbours tip ties
    report = ray_ft.run(config)
    samples = [json.loads(line) for line in Path(report.samples_path).read_text().splitlines()]
    assert samples
    endpoint = ray_ft.serve(config, blocking=False)
    try:
        for sample in samples:
            answer = sample["answers"]["tuned"]
            body = {"model": config.run_name, "prompt": answer["prompt"], "max_tokens": 24}
            reply = httpx.post(f"{endpoint.url}/v1/completions", json=body, timeout=60)
            assert reply.status_code == 200, reply.text
            assert reply.json()["choices"][0]["text"] == answer["answer"]
    finally:
        shutdown()
