"""Ranges that types cannot say, section by section; the first value out of its range is the one that is named."""

import dataclasses
import re
from collections.abc import Callable

from ray_ft.config.keys import (
    REHEARSAL_PROMPTS,
    Config,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    PlanConfig,
    RehearsalConfig,
    TrainConfig,
)
from ray_ft.config.serving_keys import ServingConfig
from ray_ft.config.variants import BenchConfig, SweepConfig
from ray_ft.engines import ENGINES, Engine
from ray_ft.errors import ConfigError
from ray_ft.recipes import RECIPES, Recipe
from ray_ft.rows import MAX_NEW_TOKENS

PASSWORD = re.compile(r"://[^/\s@:]{0,100}:[^/\s@]{1,200}@")
LANGUAGE = re.compile(r"[a-z]{2,3}")

Require = Callable[[bool, str, object, str], None]
"""Of a condition, the key, the value given and what would work; ConfigError where the condition does not hold."""


def check_values(config: Config, source: str, *, draft: bool = False) -> None:
    """ConfigError for a value out of its range: file, key, what was given and what would work.

    A draft may leave out the recipes, which advice fills in.
    """

    def require(condition: bool, key: str, given: object, wanted: str) -> None:
        if not condition:
            raise ConfigError(f"{source}: {key}: {given!r} must be {wanted}")

    name = config.run_name
    named = bool(name) and "/" not in name and name not in (".", "..")
    require(named, "run_name", name, "a folder name without '/'")
    _check_model(config.model, require)
    _check_data(config.data, require, draft=draft)
    _check_plan(config.plan, require)
    _check_train(config.train, require)
    _check_engine(config.engine, "engine", require)
    if config.data.generator is not None:
        _check_engine(config.data.generator, "data.generator", require)
    _check_evaluation(config.evaluation, require)
    _check_serving(config.serving, require)
    _check_sweep(config.sweep, require)
    _check_bench(config.bench, require)


def _check_model(model: ModelConfig, require: Require) -> None:
    require(model.max_seq_len >= 16, "model.max_seq_len", model.max_seq_len, "at least 16")
    tokens = list(model.added_tokens)
    distinct = len(set(tokens)) == len(tokens) and all(token.strip() == token != "" for token in tokens)
    require(distinct, "model.added_tokens", tokens, "distinct words without spaces around them")


def _check_data(data: DataConfig, require: Require, *, draft: bool) -> None:
    """Something to train on, told apart, and something left of it after what is held out."""
    require(
        len(data.sources) + len(data.datasets) > 0, "data.sources", list(data.sources),
        "a list with at least one file or folder, or data.datasets one with at least one dataset",
    )  # fmt: skip
    uri = data.storage_uri
    require(uri is None or "://" in uri, "data.storage_uri", uri, "a URI such as s3://bucket/sets, or null")
    has_password = uri is not None and PASSWORD.search(uri) is not None
    require(not has_password, "data.storage_uri", "***", "a URI without a password: the environment has credentials")
    for name in ("validation_fraction", "test_fraction"):
        require(0 <= getattr(data, name) < 1, f"data.{name}", getattr(data, name), "in [0, 1)")
    similar = data.near_copy_similarity
    require(0 < similar <= 1, "data.near_copy_similarity", similar, "above 0 and at most 1")
    share = data.max_file_share
    require(0 < share <= 1, "data.max_file_share", share, "above 0 and at most 1")
    for language in data.languages:
        require(LANGUAGE.fullmatch(language) is not None, "data.languages", language, "a code of ISO 639, such as en")
    lines = data.common_lines
    require(lines == 0 or lines >= 2, "data.common_lines", lines, "0, or at least 2 documents")
    for f in dataclasses.fields(data.quality) if data.quality is not None else ():
        given = getattr(data.quality, f.name)
        require(given is None or given >= 0, f"data.quality.{f.name}", given, "null, or at least 0")
    held_out = data.validation_fraction + data.test_fraction
    require(held_out < 1, "data.validation_fraction + data.test_fraction", held_out, "below 1")
    told = draft or not data.sources or len(data.recipes) > 0
    require(told, "data.recipes", list(data.recipes), f"a list of {', '.join(RECIPES)}")
    for i, dataset in enumerate(data.datasets):
        require(0 < dataset.weight <= 100, f"data.datasets.{i}.weight", dataset.weight, "above 0 and at most 100")
        twice = [d.path for d in data.datasets].count(dataset.path) > 1
        require(not twice, f"data.datasets.{i}.path", dataset.path, "named once; weight says how often it is seen")
    if data.rehearsal is not None:
        _check_rehearsal(data.rehearsal, require)
    require(data.max_file_bytes >= 1, "data.max_file_bytes", data.max_file_bytes, "at least 1")
    require(data.passage_tokens >= 16, "data.passage_tokens", data.passage_tokens, "at least 16")
    for i, recipe in enumerate(data.recipes):
        _check_recipe(recipe, f"data.recipes.{i}", require)


def _check_rehearsal(rehearsal: RehearsalConfig, require: Require) -> None:
    """As many prompts as there are, and answers that the response cache tells apart by their room."""
    number, room = rehearsal.num_examples, rehearsal.max_new_tokens
    wanted = f"from 1 to {REHEARSAL_PROMPTS}; data.rehearsal.weight says how often each is shown"
    require(1 <= number <= REHEARSAL_PROMPTS, "data.rehearsal.num_examples", number, wanted)
    require(0 < rehearsal.weight <= 100, "data.rehearsal.weight", rehearsal.weight, "above 0 and at most 100")
    require(8 <= room <= MAX_NEW_TOKENS, "data.rehearsal.max_new_tokens", room, f"from 8 to {MAX_NEW_TOKENS}")
    require(rehearsal.temperature >= 0, "data.rehearsal.temperature", rehearsal.temperature, "at least 0")


def _check_recipe(recipe: Recipe, key: str, require: Require) -> None:
    """Every whole number of a recipe counts something; beyond that a recipe tells its own problems."""
    require(0 < recipe.weight <= 100, f"{key}.weight", recipe.weight, "above 0 and at most 100")
    for f in dataclasses.fields(recipe):
        least = {"max_chunk_tokens": 16, "overlap_tokens": 0}.get(f.name, 1)
        given = getattr(recipe, f.name)
        counts = isinstance(given, int) and not isinstance(given, bool)
        require(not counts or given >= least, f"{key}.{f.name}", given, f"at least {least}")
    for name, given, wanted in recipe.problems():
        require(False, f"{key}.{name}", given, wanted)
    most = recipe.max_chunk_tokens // 2
    require(recipe.overlap_tokens <= most, f"{key}.overlap_tokens", recipe.overlap_tokens, f"at most {most}")


def _check_plan(plan: PlanConfig, require: Require) -> None:
    """Clusters that can be, and shares between nothing and all."""
    for name in ("num_gpus", "gpus_per_node", "num_tokens"):
        count = getattr(plan, name)
        require(count is None or count >= 1, f"plan.{name}", count, "at least 1")
    if plan.num_gpus is not None and plan.gpus_per_node is not None and plan.num_gpus > plan.gpus_per_node:
        whole = plan.num_gpus % plan.gpus_per_node == 0
        require(whole, "plan.num_gpus", plan.num_gpus, f"a multiple of plan.gpus_per_node={plan.gpus_per_node}")
    host, price = plan.host_memory_gib, plan.price_per_hour
    require(host is None or host > 0, "plan.host_memory_gib", host, "above 0")
    require(price is None or price >= 0, "plan.price_per_hour", price, "0 or more")
    require(0 <= plan.headroom_fraction < 1, "plan.headroom_fraction", plan.headroom_fraction, "in [0, 1)")
    require(0.5 <= plan.confidence <= 0.999, "plan.confidence", plan.confidence, "from 0.5 to 0.999")


def _check_train(train: TrainConfig, require: Require) -> None:
    require(train.num_epochs > 0, "train.num_epochs", train.num_epochs, "above 0")
    for name in (
        "max_steps", "global_batch_size", "micro_batch_size", "num_workers", "log_every", "eval_every",
        "checkpoint_every", "num_checkpoints_to_keep", "early_stopping_patience", "min_workers", "max_skipped_steps",
    ):  # fmt: skip
        value = getattr(train, name)
        require(value is None or value >= 1, f"train.{name}", value, "at least 1")
    require(0 <= train.warmup_ratio < 1, "train.warmup_ratio", train.warmup_ratio, "in [0, 1)")
    require(0 < train.decay_ratio <= 1, "train.decay_ratio", train.decay_ratio, "in (0, 1]")
    require(0 <= train.min_lr_ratio < 1, "train.min_lr_ratio", train.min_lr_ratio, "in [0, 1)")
    require(train.hang_timeout_s > 0, "train.hang_timeout_s", train.hang_timeout_s, "above 0")
    ratio, rate = train.max_grad_norm_ratio, train.learning_rate
    require(ratio is None or ratio > 1, "train.max_grad_norm_ratio", ratio, "above 1")
    for name in ("neftune_alpha", "early_stopping_min_delta", "num_samples"):
        require(getattr(train, name) >= 0, f"train.{name}", getattr(train, name), "at least 0")
    trackers = [tracker.name for tracker in train.trackers]
    require(len(set(trackers)) == len(trackers), "train.trackers", trackers, "each named once")
    require(rate is None or rate > 0, "train.learning_rate", rate, "above 0")
    native = train.backend != "native" or train.strategy is None or not train.strategy.needs_deepspeed
    require(native, "train.backend", train.backend, "deepspeed or auto with ZeRO-3 or offload, which native has not")
    for key, given, wanted in train.strategy.problems() if train.strategy is not None else ():
        require(False, f"train.strategy.{key}", given, wanted)


def _check_engine(engine: Engine, key: str, require: Require) -> None:
    if key == "engine":
        answering = ", ".join(name for name in ENGINES if ENGINES[name].answers)
        require(engine.answers, "engine.name", engine.name, f"one that answers: {answering}")
    for name, given, wanted in engine.problems():
        require(False, f"{key}.{name}", given, wanted)


def _check_evaluation(evaluation: EvaluationConfig, require: Require) -> None:
    require(len(evaluation.systems) > 0, "evaluation.systems", list(evaluation.systems), "a list of systems")
    for name in ("num_questions", "num_passages", "max_new_tokens"):
        given = getattr(evaluation, name)
        require(given is None or given >= 1, f"evaluation.{name}", given, "at least 1")
    lengths = list(evaluation.passage_tokens)
    require(all(length >= 16 for length in lengths), "evaluation.passage_tokens", lengths, "a list of at least 16 each")
    require(evaluation.num_documents >= 0, "evaluation.num_documents", evaluation.num_documents, "at least 0")
    require(evaluation.num_retention >= 0, "evaluation.num_retention", evaluation.num_retention, "at least 0")
    for name in ("num_retention", "lm_eval_tasks"):
        both = not getattr(evaluation, name) or {"base", "tuned"} <= set(evaluation.systems)
        wanted = f"a list with base and tuned, for evaluation.{name}"
        require(both, "evaluation.systems", list(evaluation.systems), wanted)
    require(evaluation.num_bootstrap >= 100, "evaluation.num_bootstrap", evaluation.num_bootstrap, "at least 100")
    require(0 <= evaluation.margin < 1, "evaluation.margin", evaluation.margin, "in [0, 1)")
    if (judge := evaluation.judge) is not None:
        servers = ", ".join(name for name in ENGINES if not ENGINES[name].needs_weights)
        apart = f"one that asks a server ({servers}); others answer with the base, which is under test"
        require(not judge.needs_weights, "evaluation.judge.name", judge.name, apart)
        _check_engine(judge, "evaluation.judge", require)
    given = evaluation.preferences
    require(given is None or judge is not None, "evaluation.preferences", given, "null without evaluation.judge")
    tests = evaluation.code_tests
    for name in ("num_samples", "max_parallel"):
        require(getattr(tests, name) >= 1, f"evaluation.code_tests.{name}", getattr(tests, name), "at least 1")
    fits = bool(tests.k) and all(1 <= k <= tests.num_samples for k in tests.k)
    most = f"a list of numbers from 1 to evaluation.code_tests.num_samples={tests.num_samples}"
    require(fits, "evaluation.code_tests.k", list(tests.k), most)
    require(tests.timeout_s > 0, "evaluation.code_tests.timeout_s", tests.timeout_s, "above 0")
    require(tests.temperature > 0, "evaluation.code_tests.temperature", tests.temperature, "above 0")


def _check_serving(serving: ServingConfig, require: Require) -> None:
    require(1 <= serving.port <= 65535, "serving.port", serving.port, "in 1..65535")
    for name in ("max_new_tokens", "num_replicas", "keep_versions"):
        require(getattr(serving, name) >= 1, f"serving.{name}", getattr(serving, name), "at least 1")
    require(serving.adapter_wait_s >= 0, "serving.adapter_wait_s", serving.adapter_wait_s, "at least 0")
    num_gpus = serving.num_gpus
    require(num_gpus is None or num_gpus >= 0, "serving.num_gpus", num_gpus, "at least 0")
    for name in ("max_open", "max_open_tokens"):
        require(getattr(serving, name) >= 1, f"serving.{name}", getattr(serving, name), "at least 1")
    for name in ("drain_seconds", "idle_seconds"):
        require(getattr(serving, name) >= 0, f"serving.{name}", getattr(serving, name), "at least 0")
    require(serving.requests_per_replica > 0, "serving.requests_per_replica", serving.requests_per_replica, "above 0")
    fewest, most, first = serving.min_replicas, serving.max_replicas, serving.num_replicas
    require(most is None or most >= first, "serving.max_replicas", most, f"at least serving.num_replicas={first}")
    require(fewest is None or most is not None, "serving.min_replicas", fewest, "null without serving.max_replicas")
    require(
        fewest is None or 0 <= fewest <= first,
        "serving.min_replicas",
        fewest,
        f"from 0 to serving.num_replicas={first}",
    )
    certificate, key = serving.ssl_certfile, serving.ssl_keyfile
    require((certificate is None) == (key is None), "serving.ssl_keyfile", key, "given together with ssl_certfile")
    named = bool(serving.name) and "#" not in serving.name and "/" not in serving.name
    require(named, "serving.name", serving.name, "a name without '/' and '#'")
    prefix = serving.route_prefix
    rooted = prefix.startswith("/") and (prefix == "/" or not prefix.endswith("/")) and "{" not in prefix
    require(rooted, "serving.route_prefix", prefix, "a path such as / or /support, without '/' at its end")


def _check_sweep(sweep: SweepConfig, require: Require) -> None:
    for name in ("num_settings", "num_seeds", "max_concurrent"):
        value = getattr(sweep, name)
        require(value is None or value >= 1, f"sweep.{name}", value, "at least 1")
    require(0 < sweep.grace_fraction < 1, "sweep.grace_fraction", sweep.grace_fraction, "between 0 and 1")
    require(sweep.reduction_factor >= 2, "sweep.reduction_factor", sweep.reduction_factor, "at least 2")


def _check_bench(bench: BenchConfig, require: Require) -> None:
    for name in ("quantizations", "forms"):
        given = list(getattr(bench, name))
        require(0 < len(given) == len(set(given)), f"bench.{name}", given, "a list, each named once")
    for name, least in (("prompt_tokens", 1), ("new_tokens", 2), ("batch_size", 2), ("repeats", 6)):
        require(getattr(bench, name) >= least, f"bench.{name}", getattr(bench, name), f"at least {least}")
    require(bench.num_questions >= 0, "bench.num_questions", bench.num_questions, "at least 0")
