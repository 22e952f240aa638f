"""ZeRO 1-3 and offload: DeepSpeed splits optimizer state, gradients and weights over the workers."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ray_ft.errors import TrainingError
from ray_ft.training.backends.acceleration import kernel_warnings
from ray_ft.training.backends.base import Update
from ray_ft.training.backends.parameters import parameter_groups
from ray_ft.training.backends.saved_state import on_host
from ray_ft.training.backends.update_guard import Guard
from ray_ft.training.task import TrainingTask

TAG = "deepspeed"


class DeepSpeedEngine:
    """A model whose state is split over the ranks; see `base.Engine`.

    DeepSpeed averages gradients over ranks, which the factor `world_size` undoes, and is told not to divide by the
    number of micro-batches: the loss is already a share of the global batch's.
    """

    def __init__(self, model: Any, task: TrainingTask, *, config: dict[str, Any]) -> None:
        import deepspeed
        import torch.distributed as dist

        self.warnings: list[str] = kernel_warnings(model)
        optimizer = _make_optimizer(model, task, self.warnings)
        self.engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
        self.module = self.engine.module
        self._world_size = dist.get_world_size()
        self._guard = Guard(task.train.max_grad_norm_ratio, device=self.engine.device)
        self._loss: Any = None
        self._norm: Any = None
        _judge_norms(self.engine.optimizer, self._judge)

    def __call__(self, **batch: Any) -> Any:
        return self.engine(**batch)

    def train(self) -> None:
        self.engine.train()

    def eval(self) -> None:
        self.engine.eval()

    def backward(self, loss: Any, *, last: bool) -> None:
        self.engine.backward(loss * self._world_size, scale_wrt_gas=False)
        if not last:
            self.engine.step()  # only counts the micro-batch

    def step(self, loss: Any, *, learning_rate: float) -> Update:
        import torch

        self._loss, self._norm = loss, None
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self.engine.step()
        skipped = torch.tensor(float(self.engine.optimizer.overflow), device=loss.device)
        norm = torch.full_like(skipped, float("inf")) if self._norm is None else self._norm
        return Update(norm, skipped)

    def trainable_weights(self) -> dict[str, Any]:
        import torch.distributed as dist
        from deepspeed.runtime.zero import GatheredParameters

        sharded = self.engine.zero_optimization_partition_weights()
        weights = {}
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad:
                with GatheredParameters([parameter], enabled=sharded):
                    if dist.get_rank() == 0:
                        weights[name] = parameter.detach().to("cpu", copy=True)
        return weights

    def host_state(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder, _Collected(self.engine, folder) as files:
            self.engine.save_checkpoint(
                folder,
                tag=TAG,
                client_state={"norms": self._guard.norms, "shapes": self._shapes()},
                save_latest=False,
                exclude_frozen_parameters=True,
            )
        return files

    def load_state(self, folder: Path) -> None:
        # Frozen weights are not in the checkpoint; the strategy has just loaded them from the base.
        loaded, about = self.engine.load_checkpoint(str(folder), tag=TAG, load_module_strict=False)
        if loaded is None:
            raise TrainingError(f"{folder}: DeepSpeed found nothing to load")
        if (shapes := about.get("shapes", self._shapes())) != self._shapes():  # revision 0de0c56 wrote none
            other = sorted(name for name, _ in {*shapes.items()} ^ {*self._shapes().items()})
            problem = f"{other[0]} is not in both, or of another shape"
            raise TrainingError(f"{folder} cannot be gone on from: {problem}; start over with `--force`")
        self._guard.norms.copy_(about["norms"])

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Of what trains, as it is before ZeRO-3 splits it."""
        trained = ((name, p) for name, p in self.module.named_parameters() if p.requires_grad)
        return {name: tuple(getattr(p, "ds_shape", p.shape)) for name, p in trained}

    def _judge(self, scaled_norm: Any) -> Any:
        """The norm as DeepSpeed goes on with it: -1, its own mark for an overflow, makes it leave the update out."""
        import torch

        self._norm = scaled_norm / self.engine.optimizer.loss_scale
        skipped = self._guard.skips(self._norm, self._loss)
        return torch.where(skipped > 0, torch.full_like(scaled_norm, -1.0), scaled_norm)


def compile_nothing(task: TrainingTask) -> None:
    """Before a model is loaded: DeepSpeed would compile a shared-memory operator at first use; gloo does as well."""
    import deepspeed.ops

    if not task.use_gpu:
        vars(deepspeed.ops)["__compatible_ops__"] = {"deepspeed_shm_comm": False}


def _judge_norms(optimizer: Any, judge: Any) -> None:
    """Let `judge` see, and change, every norm before DeepSpeed clips or skips by it."""
    if hasattr(optimizer, "scaled_global_norm"):  # stages 1 and 2
        norm = optimizer.scaled_global_norm
        optimizer.check_grad_overflow = True
        optimizer.scaled_global_norm = lambda *arguments, **options: judge(norm(*arguments, **options))
        return
    from deepspeed.runtime.zero.stage3 import combine_grad_norm_groups

    groups = optimizer._get_norm_groups
    optimizer._get_norm_groups = lambda: [judge(combine_grad_norm_groups(groups()))]


def _make_optimizer(model: Any, task: TrainingTask, warnings: list[str]) -> Any:
    """AdamW, in host memory where the optimizer is offloaded."""
    import torch

    groups = parameter_groups(model, weight_decay=task.train.weight_decay)
    offloaded = task.use_gpu and task.strategy.offload in ("optimizer", "all")
    if not offloaded:
        return torch.optim.AdamW(groups, lr=task.learning_rate, fused=True)
    missing = missing_for_cpu_adam()
    if missing is None:
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        return DeepSpeedCPUAdam(groups, lr=task.learning_rate, weight_decay=0.0)
    warnings.append(
        f"the offloaded optimizer takes torch's AdamW, several times slower than DeepSpeed's for CPUs: {missing}"
    )
    return torch.optim.AdamW(groups, lr=task.learning_rate)


def missing_for_cpu_adam() -> str | None:
    """What keeps DeepSpeed from compiling its optimizer for CPUs at its first step, said before there is one."""
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        return f"no C++ compiler ({compiler}) was found"
    if shutil.which("ninja") is None and importlib.util.find_spec("ninja") is None:
        return "ninja was not found; `pip install ninja`"
    from deepspeed.ops.op_builder import CPUAdamBuilder

    return None if CPUAdamBuilder().is_compatible() else "this machine's compiler or CUDA toolkit does not suit it"


class _Collected:
    """While the context lasts, what DeepSpeed would write is copied to host memory instead, by file name."""

    def __init__(self, engine: Any, folder: str) -> None:
        self.engine, self.writer, self.folder = engine, engine.checkpoint_engine, Path(folder)

    def __enter__(self) -> dict[str, Any]:
        files: dict[str, Any] = {}

        def collect(state_dict: Any, path: str) -> None:
            files[str(Path(path).relative_to(self.folder))] = on_host(state_dict)

        # Scripts that DeepSpeed would lay beside the state; nobody here runs them.
        self.engine._copy_recovery_script = lambda *_: None
        self.writer.save = collect
        return files

    def __exit__(self, *_: object) -> None:
        del self.writer.save, self.engine._copy_recovery_script  # the classes' own methods show again
