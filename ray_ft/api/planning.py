"""`plan` and `smallest_cluster`: what a run needs and costs, before it is started."""

from dataclasses import replace
from typing import Any

from ray_ft import artifacts
from ray_ft.api.base_model import shape_of_base, traceable_shape
from ray_ft.api.session import ray_session
from ray_ft.artifacts import Answering, Estimate, Plan, Sizing, TrainingSet, Workload
from ray_ft.config import Config, to_identity
from ray_ft.engines import VLLMEngine
from ray_ft.errors import DoesNotFitError
from ray_ft.hardware import Hardware, hardware_for
from ray_ft.models.config_json import load_model_config
from ray_ft.models.shape import ModelShape
from ray_ft.strategies import LoRA, Strategy

ASSUMED_TOKENS = 10_000_000  # what plan assumes before there is a training set


def plan(config: Config, *, hardware: Hardware | None = None, check: bool = False) -> Plan:
    """Predict memory, time and cost of every strategy and choose one; `hardware` None takes plan.gpu, else asks Ray.

    `check` also traces a training step of the chosen row (about ten seconds; needs neither GPU nor weights) and takes
    the larger memory of both. Raises DoesNotFitError when no strategy fits.
    """
    from ray_ft.planning.choice.answering import describe
    from ray_ft.planning.choice.choose import choose_plan
    from ray_ft.planning.profile import load_profiles, packaged_profiles
    from ray_ft.planning.show.page import render_page

    shape = traceable_shape(config) if check else shape_of_base(config)
    if hardware is None:
        hardware = _hardware(config)
    workload, notes = _workload(config)
    profiles = dict(packaged_profiles())
    if config.plan.profile is not None:
        profiles |= load_profiles(config.plan.profile)
    known: dict[str, Any] = {
        "hardware": hardware,
        "workload": workload,
        "train": config.train,
        "plan": config.plan,
        "notes": notes,
        "profiles": profiles,
    }
    if check:
        from ray_ft.planning.trace.plan import choose_checked_plan

        values, _ = load_model_config(config.model.name, revision=config.model.revision)
        made = choose_checked_plan(shape, config=values, **known)
    else:
        made = choose_plan(shape, **known)
    kind = next((k for k in hardware.alternatives if k.gpu == made.gpu), hardware)
    if (needs := _answering(config, shape, kind, made.strategy)) is not None:
        made = replace(made, answering=needs, notes=(*made.notes, describe(needs, made.gpu)))
    artifacts.save(made, config.run_path, {"model": to_identity(config.model), "plan": to_identity(config.plan)})
    artifacts.write_text(config.run_path / "plan.html", render_page(made))
    return made


def smallest_cluster(config: Config, *, max_hours: float) -> Sizing:
    """The fewest GPUs of every kind (or of plan.gpu's) that train the model in `max_hours`; asks no cluster.

    Raises DoesNotFitError where none does.
    """
    from ray_ft.planning.choice.smallest import smallest_cluster as smallest
    from ray_ft.planning.profile import load_profiles, packaged_profiles

    profiles = dict(packaged_profiles())
    if config.plan.profile is not None:
        profiles |= load_profiles(config.plan.profile)
    workload, notes = _workload(config)
    return smallest(
        shape_of_base(config),
        max_hours=max_hours,
        workload=workload,
        train=config.train,
        plan=config.plan,
        notes=notes,
        profiles=profiles,
    )


def cheapest_row(config: Config, *, max_hours: float) -> Estimate | None:
    """On the fewest GPUs that train in `max_hours`, the cheapest; with plan.gpu=cpu the CPU's. None where none does."""
    try:
        if config.plan.gpu == "cpu":
            return _chosen_on_cpu(config)
        free = replace(config, train=replace(config.train, num_workers=None))
        rows = smallest_cluster(free, max_hours=max_hours).clusters
    except DoesNotFitError:
        return None
    most = config.plan.num_gpus
    return rows[0] if most is None or config.plan.gpu is None or rows[0].num_workers <= most else None


def _chosen_on_cpu(config: Config) -> Estimate:
    from ray_ft.planning.choice.choose import choose_plan

    workload, notes = _workload(config)
    made = choose_plan(
        shape_of_base(config),
        hardware=hardware_for(config.plan),
        workload=workload,
        train=config.train,
        plan=config.plan,
        notes=notes,
    )
    return replace(made.estimate, gpu="cpu")


def refuse_unanswerable(config: Config) -> None:
    """Raise DoesNotFitError where the engine could not answer with the tuned model, before training is paid for."""
    from ray_ft.planning.choice.answering import describe

    hardware = _hardware(config)
    needs = _answering(config, shape_of_base(config), hardware, config.train.strategy or LoRA())
    if needs is not None and not needs.fits:
        raise DoesNotFitError(describe(needs, hardware.gpu))


def _answering(config: Config, shape: ModelShape, hardware: Hardware, strategy: Strategy) -> Answering | None:
    """What answering needs on these GPUs; None where there are none, no formula, or another machine answers."""
    from ray_ft.planning.choice.answering import AnswerSetup, answering, refused_by_vllm
    from ray_ft.planning.profile import profile_for

    engine = config.engine.resolved(has_gpus=not refused_by_vllm(strategy, shape))
    if hardware.is_cpu or not shape.exact or engine.name not in ("vllm", "transformers"):
        return None
    known = ("quantization", "max_adapters", "max_adapter_rank")
    settings = {name: getattr(engine, name) for name in known if hasattr(engine, name)}
    if isinstance(engine, VLLMEngine):
        settings["memory_fraction"] = engine.gpu_memory_fraction
    setup = AnswerSetup(engine.name, num_gpus=engine.num_gpus, **settings)
    return answering(
        shape,
        setup=setup,
        strategy=strategy,
        hardware=hardware,
        profile=profile_for(hardware.gpu),
        max_seq_len=config.model.max_seq_len,
    )


def _hardware(config: Config) -> Hardware:
    if config.plan.gpu is not None:
        return hardware_for(config.plan)
    from ray_ft.hardware import detect

    with ray_session(config):
        return detect(config.plan)


def _workload(config: Config) -> tuple[Workload, tuple[str, ...]]:
    from ray_ft.planning.speed.lengths import attended_tokens

    notes: tuple[str, ...] = ()
    num_tokens = config.plan.num_tokens
    mean_example_tokens = num_validation_tokens = None
    if artifacts.load_inputs(TrainingSet, config.run_path) is not None:
        training_set = artifacts.load(TrainingSet, config.run_path)
        num_tokens = num_tokens or training_set.num_tokens.get("train", 0)
        mean = num_tokens / max(training_set.num_examples.get("train", 0), 1)
        mean_example_tokens = attended_tokens(training_set.path) or mean
        num_validation_tokens = float(training_set.num_tokens.get("validation", 0))
    elif num_tokens is None:
        rehearsed = config.data.rehearsal.num_tokens if config.data.rehearsal is not None else 0
        num_tokens = ASSUMED_TOKENS + rehearsed
        own = f", {rehearsed:,} of them of data.rehearsal," if rehearsed else ""
        notes = (f"no training set yet: time and cost are for {num_tokens:,} tokens per epoch{own} (plan.num_tokens)",)
    num_epochs = config.train.num_epochs
    if config.train.max_steps is not None:
        rows = config.train.max_steps * config.train.global_batch_size
        num_epochs = rows * config.model.max_seq_len / max(num_tokens, 1)
    workload = Workload(
        num_tokens=num_tokens,
        num_epochs=num_epochs,
        max_seq_len=config.model.max_seq_len,
        global_batch_size=config.train.global_batch_size,
        mean_example_tokens=mean_example_tokens,
        num_validation_tokens=(
            config.data.validation_fraction * num_tokens if num_validation_tokens is None else num_validation_tokens
        ),
    )
    return workload, notes
