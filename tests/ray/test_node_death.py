"""A node dies in the middle of a run: the run goes on with the worker that is left, on the same global batches.

Nodes of a cluster of its own, in a process of its own: the session's cluster has one node, and must keep it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_support import MODULES, make_training_set, training_lines

from ray_ft.artifacts import to_json

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.filterwarnings("ignore")]

NUM_STEPS = 60
SCRIPT = """
import json, os, signal, sys
from pathlib import Path

sys.path[:0] = sys.argv[1].split(os.pathsep)
import ray
from ray.cluster_utils import Cluster
from ray_ft.artifacts import TrainingSet, from_json
from ray_ft.config import ModelConfig, TrainConfig
from ray_ft.strategies import LoRA
from ray_ft.training.fine_tune import fine_tune
from test_training import when_step_is_reached
from training_support import make_plan

training_set, model_path, run_path = from_json(TrainingSet, json.loads(sys.argv[2])), sys.argv[3], Path(sys.argv[4])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 * 2**20})
other = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
ray.init(address=cluster.address, log_to_driver=False)
raylet = other.all_processes["raylet"][0].process


# A machine takes its workers with it; left alone, they would live on without a raylet for some seconds.
def power_off():
    children = Path(f"/proc/{raylet.pid}/task/{raylet.pid}/children").read_text().split()
    for process in (raylet.pid, *map(int, children)):
        os.kill(process, signal.SIGKILL)


watcher = when_step_is_reached(run_path, 25, power_off)
strategy = LoRA(r=4, lora_alpha=8, zero_stage=0, offload="none")
plan = make_plan(strategy, num_workers=2, micro_batch_size=1, accumulation=2)
train = TrainConfig(
    max_steps=60, global_batch_size=4, learning_rate=1e-3, checkpoint_every=10, eval_every=30, min_workers=1
)
fine_tune(
    training_set, plan, model=ModelConfig(name="builtin:tiny"), model_path=model_path, train=train,
    run_path=str(run_path), seed=3, inputs={}, fingerprint="f",
)
watcher.join()
assert raylet.poll() is not None, "the node is still there"
ray.shutdown()
cluster.shutdown()
"""


def test_a_run_goes_on_with_the_nodes_that_are_left(tmp_path: Path, tiny_model_path: str) -> None:
    training_set = make_training_set(tmp_path / "data", tiny_model_path)
    run_path = tmp_path / "run"
    done = subprocess.run(
        [
            sys.executable, "-c", SCRIPT, MODULES, json.dumps(to_json(training_set)),
            tiny_model_path, str(run_path),
        ],
        capture_output=True, text=True, timeout=400, env=os.environ | {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    lines = training_lines(run_path)
    assert [line["step"] for line in lines] == list(range(1, NUM_STEPS + 1))
    last = json.loads((run_path / "checkpoints" / f"step-{NUM_STEPS:06d}" / "checkpoint.json").read_text())
    # Both wrote a share of the state before; at the end there was one worker to write all of it.
    assert [name for name in last["files"] if name.startswith("state/")] == ["state/replicated-00000.pt"]
