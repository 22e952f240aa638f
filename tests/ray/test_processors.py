"""A stopped and resumed QLoRA run ends in the same adapter on other kinds of processors, as far as one can play them.

PyTorch, oneDNN and MKL are told to use old instructions, or two threads, and bitsandbytes that there is AVX512-BF16.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_support import MODULES

pytestmark = [pytest.mark.ray, pytest.mark.long]

OLD_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
}
TWO_THREADS = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}  # or they spin, which takes long on busy cores

PROGRAM = """
import os, shutil, sys, warnings
from dataclasses import replace
from pathlib import Path

warnings.filterwarnings("ignore")
sys.path[:0] = sys.argv[1].split(os.pathsep)
import bitsandbytes.nn.modules
import torch
from training_support import TRAIN, make_training_set, task_for
from worker_loop import run_alone

from ray_ft.strategies import QLoRA

if os.environ.get("ATEN_CPU_CAPABILITY") == "default":
    assert torch.backends.cpu.get_cpu_capability() == "DEFAULT", torch.backends.cpu.get_cpu_capability()
bitsandbytes.nn.modules.has_avx512bf16 = lambda: True
folder, model_path = Path(sys.argv[2]), sys.argv[3]
rows = make_training_set(folder / "data", model_path)
strategy = QLoRA(r=4, lora_alpha=8, lora_dropout=0.1, zero_stage=0, offload="none")
train = replace(TRAIN, eval_every=3, checkpoint_every=3)

def run(name):
    task = task_for(rows, model_path, folder / name, strategy=strategy, train=train)
    task = replace(task, num_threads=int(sys.argv[4]))
    (outcome,) = run_alone([task])
    assert isinstance(outcome, dict), outcome
    return (task.output_path / "adapter_model.safetensors").read_bytes()

unbroken = run("unbroken")
step = Path("checkpoints") / "step-000003"
shutil.copytree(folder / "unbroken" / step, folder / "resumed" / step)
assert run("resumed") == unbroken
print("equal")
"""


@pytest.mark.parametrize(
    ("environment", "num_threads"), [(OLD_PROCESSOR, 1), (TWO_THREADS, 2)], ids=["old-processor", "two-threads"]
)
def test_a_resumed_run_with_a_quantised_base_ends_in_the_same_adapter(
    tiny_model_path: str, tmp_path: Path, environment: dict[str, str], num_threads: int
) -> None:
    arguments = [MODULES, str(tmp_path), tiny_model_path, str(num_threads)]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    ran = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines()[-1:] == ["equal"], ran.stderr
