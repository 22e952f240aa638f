"""Any ZeRO stage, with offload or without: DeepSpeed splits optimizer state, gradients and weights over workers."""

import importlib.util
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ray_ft.errors import TrainingError
from ray_ft.training.backends.acceleration import kernel_warnings
from ray_ft.training.backends.base import Update
from ray_ft.training.backends.parameters import parameter_groups
from ray_ft.training.backends.replicated import norm_of
from ray_ft.training.backends.saved_state import on_host
from ray_ft.training.backends.update_guard import Guard
from ray_ft.training.task import TrainingTask

TAG = "deepspeed"
INVALID = -1.0  # DeepSpeed's own mark of a norm that is not finite


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
        self.warnings += _rounding(config)
        whole = config["zero_optimization"]["stage"] == 0
        with _no_update_at_start(optimizer) if whole else nullcontext():
            self.engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
        self.module = self.engine.module
        self._world_size = dist.get_world_size()
        scaled = "fp16" in config
        self._guard = Guard(task.train.max_grad_norm_ratio, device=self.engine.device, scaled=scaled)
        self._loss: Any = None
        self._verdict: Update | None = None
        several = config["gradient_accumulation_steps"] > 1
        self._whole = _WholeGradients(self.engine, several=several) if whole else None
        if not whole:
            _judge_norms(self.engine.optimizer, self._judge)
        if scaled:
            _spare_loss_scale(self.engine.optimizer, self._gradient_is_finite)

    def __call__(self, **batch: Any) -> Any:
        return self.engine(**batch)

    def train(self) -> None:
        self.engine.train()

    def eval(self) -> None:
        self.engine.eval()

    def backward(self, loss: Any, *, last: bool) -> None:
        if self._whole is not None:
            self._whole.backward(loss * self._world_size, last=last)
        else:
            self.engine.backward(loss * self._world_size, scale_wrt_gas=False)
        if not last:
            self.engine.step()  # only counts the micro-batch

    def step(self, loss: Any, *, learning_rate: float) -> Update:
        import torch

        self._loss, self._verdict = loss, None
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate
        if self._whole is not None:
            self._whole.step(self._judge(self._whole.norm()) == INVALID)
        else:
            self.engine.step()
        if self._verdict is None:  # DeepSpeed saw that a gradient is not finite before it asked for the norm
            self._verdict = self._guard.judge(torch.full_like(loss, torch.inf), loss)
        return self._verdict

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
        """The norm as DeepSpeed goes on with it: INVALID makes it leave the update out."""
        import torch

        norm = torch.where(scaled_norm == INVALID, torch.inf, scaled_norm)
        norm = norm / getattr(self.engine.optimizer, "loss_scale", 1.0)
        self._verdict = self._guard.judge(norm, self._loss)
        return torch.where(self._verdict.skipped > 0, INVALID, scaled_norm)

    def _gradient_is_finite(self) -> bool:
        return self._verdict is not None and math.isfinite(self._verdict.grad_norm)


def _judge_norms(optimizer: Any, judge: Callable[[Any], Any]) -> None:
    """Let `judge` see every norm of ZeRO 1 to 3, and put INVALID in its place where the update is to be left out.

    DeepSpeed has an optimizer for ZeRO 1 and 2, one for ZeRO 3, and one for ZeRO 1 in bf16 with sums in fp32.
    """
    import torch
    from deepspeed.runtime.utils import combine_grad_norm_groups, get_global_norm_of_tensors

    if hasattr(optimizer, "scaled_global_norm"):
        norm = optimizer.scaled_global_norm
        optimizer.check_grad_overflow = True
        optimizer.scaled_global_norm = lambda *arguments, **options: judge(norm(*arguments, **options))
    elif hasattr(optimizer, "_get_norm_groups"):
        groups = optimizer._get_norm_groups
        optimizer._get_norm_groups = lambda: [judge(combine_grad_norm_groups(groups()))]
    else:
        gradients = optimizer.get_grads_for_norm

        def judged(for_clipping: bool = False) -> Any:
            if for_clipping:
                return gradients(for_clipping=True)
            found = judge(get_global_norm_of_tensors(gradients()[0]))
            return [torch.where(found == INVALID, torch.inf, found)], {}  # it takes the norm of what it gets

        optimizer.get_grads_for_norm = judged


def _spare_loss_scale(optimizer: Any, is_spared: Callable[[], bool]) -> None:
    """Let fp16's loss scale fall for gradients that are not finite alone, and never end the run by itself."""
    if hasattr(optimizer, "loss_scaler"):
        optimizer.loss_scaler.raise_error_at_min_scale = False
    update = optimizer._update_scale
    optimizer._update_scale = lambda overflow=False: update(overflow and not is_spared())


class _WholeGradients:
    """ZeRO-0's: added up over micro-batches in fp32, where DeepSpeed would in 16 bits, then averaged by DeepSpeed."""

    def __init__(self, engine: Any, *, several: bool) -> None:
        import torch

        self._engine = engine
        self._parameters = [p for p in engine.module.parameters() if p.requires_grad]
        self._sums: dict[Any, Any] = {}
        for parameter in self._parameters if several else ():
            if parameter.dtype != torch.float32:
                parameter.register_post_accumulate_grad_hook(self._add)

    def backward(self, loss: Any, *, last: bool) -> None:
        """DeepSpeed's backward pass, which at this stage does not scale the loss that its step unscales."""
        self._engine.set_gradient_accumulation_boundary(False)
        self._engine.backward(loss * getattr(self._engine.optimizer, "loss_scale", 1.0), scale_wrt_gas=False)
        if last:
            while self._sums:
                parameter, total = self._sums.popitem()
                parameter.grad = total.to(parameter.dtype)
            self._engine.set_gradient_accumulation_boundary(True)
            self._engine.allreduce_gradients()

    def norm(self) -> Any:
        """Of all ranks' gradients, with the loss scale."""
        return norm_of([p.grad for p in self._parameters if p.grad is not None])

    def step(self, skipped: Any) -> None:
        """Update, unless `skipped` (a scalar on the device)."""
        import torch

        inner = getattr(self._engine.optimizer, "optimizer", self._engine.optimizer)
        inner.found_inf, inner.grad_scale = skipped.float(), torch.ones((), device=skipped.device)
        self._engine.step()

    def _add(self, parameter: Any) -> None:
        total, gradient, parameter.grad = self._sums.get(parameter), parameter.grad, None
        self._sums[parameter] = gradient.float() if total is None else total.add_(gradient)


@contextmanager
def _no_update_at_start(optimizer: Any) -> Iterator[None]:
    """While DeepSpeed is set up: at stage 0 in 16 bits it would make moments by a step, which decays the weights."""
    import torch

    device = optimizer.param_groups[0]["params"][0].device
    optimizer.found_inf = optimizer.grad_scale = torch.ones((), device=device)
    yield
    del optimizer.found_inf, optimizer.grad_scale


def compile_nothing(task: TrainingTask) -> None:
    """Before a model is loaded: DeepSpeed would compile a shared-memory operator at first use; gloo does as well."""
    import deepspeed.ops

    if not task.use_gpu:
        vars(deepspeed.ops)["__compatible_ops__"] = {"deepspeed_shm_comm": False}


def _rounding(config: dict[str, Any]) -> list[str]:
    """A line where sums of gradients are less exact than everywhere else."""
    zero, several = config["zero_optimization"], config["gradient_accumulation_steps"] > 1
    wide = "data_types" in config or not ({"bf16", "fp16"} & config.keys())
    if wide or not several or zero["stage"] == 0:
        return []
    return [
        f"DeepSpeed adds micro-batches up in 16 bits where ZeRO-{zero['stage']} offloads, which loses small gradients; "
        "train.strategy.zero_stage=3 adds in fp32, and fewer, larger micro-batches lose less"
    ]


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
