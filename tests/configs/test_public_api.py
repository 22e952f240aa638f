"""What `import ray_ft` offers is what it declares, types, and documents."""

import ast
import copy
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from public_surface import FROZEN, broken, surface

import ray_ft
from ray_ft import api, errors

REPOSITORY = Path(__file__).parents[2]


def names_for_type_checkers() -> set[str]:
    """Names imported under TYPE_CHECKING, which is all that editors and mypy see."""
    tree = ast.parse(Path(ray_ft.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_the_declared_names_are_sorted_and_all_can_be_imported() -> None:
    assert list(ray_ft.__all__) == sorted(ray_ft.__all__)
    assert [name for name in ray_ft.__all__ if getattr(ray_ft, name, None) is None] == []


def test_type_checkers_see_the_declared_names() -> None:
    assert names_for_type_checkers() == set(ray_ft.__all__)


def test_a_name_that_is_not_declared_cannot_be_imported() -> None:
    with pytest.raises(AttributeError, match="module 'ray_ft' has no attribute 'trian'"):
        ray_ft.trian  # noqa: B018


def test_every_public_function_and_every_error_is_declared() -> None:
    raised = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert (raised | set(api.__all__)) - set(ray_ft.__all__) == set()


def test_every_declared_name_explains_itself_and_is_on_the_reference_page() -> None:
    page = (REPOSITORY / "docs" / "reference" / "api.md").read_text()
    for name in ray_ft.__all__:
        assert (getattr(ray_ft, name).__doc__ or "").strip(), name
        assert f"### {name}\n" in page or f"- `{name}`:" in page, name


# --- what was written against revision 0de0c56 ------------------------------------------------------------------------


# Still read under its old name, and told so.
RENAMED = {
    "names / SweepConfig / parameters / stratum / accepts / 'own' is gone",
    "keys / sweep.stratum / accepts / 'own' is gone",
    # answers are batched by default, and by the fastest engine that there is
    "keys / engine<transformers>.batch_size / default: 1 -> null",
    "keys / data.generator<transformers>.batch_size / default: 1 -> null",
    'keys / engine / default: {"batch_size": 1, "dtype": "auto", "name": "transformers", "quantization": "none"} -> '
    '{"batch_size": null, "dtype": "auto", "max_adapters": 16, "name": "auto", "quantization": "none"}',
}


@pytest.fixture(scope="module")
def frozen() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FROZEN.read_text())
    return found


def test_names_keys_and_flags_are_still_there_and_mean_the_same(frozen: dict[str, Any]) -> None:
    assert set(broken(frozen, surface())) == RENAMED


def test_what_is_frozen_is_the_whole_surface(frozen: dict[str, Any]) -> None:
    assert set(ray_ft.__all__) == {name for name in frozen["names"] if "." not in name}
    # One key of every section, list and kind of slot, and one flag of every kind.
    assert {
        "seed", "model.name", "data.datasets[].weight", "data.recipes<qa>.judge", "data.generator<openai>.model",
        "plan.gpu", "train.strategy<qlora>.bits", "train.trackers<mlflow>.experiment", "evaluation.retriever<bm25>.k1",
        "serving.port", "sweep.search", "engine<transformers>.dtype",
    } <= set(frozen["keys"])  # fmt: skip
    assert frozen["verbs"]["export"]["required"] == ["--to FOLDER", "CONFIG"]
    assert "--resume" in frozen["verbs"]["train"]["optional"]


# --- the comparison itself: each change is one that a user would notice, or none would --------------------------------


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("names", "train"), None, "names / train is gone"),
        (("names", "train", "parameters", "resume", "default"), "True", "resume / default: False -> True"),
        (("names", "train", "parameters", "config", "position"), 1, "config / position: 0 -> 1"),
        (("names", "train", "parameters", "to"), {"default": "required"}, "names / train requires to"),
        (("names", "Plan.runner_up"), None, "names / Plan.runner_up is gone"),
        (("names", "ConfigError", "exit_code"), 1, "exit_code: 2 -> 1"),
        (("keys", "train.strategy<lora>.r"), None, "keys / train.strategy<lora>.r is gone"),
        (("keys", "train.strategy<lora>.r", "default"), "8", "default: 16 -> 8"),
        (("keys", "data.secrets", "accepts"), ["'drop'", "'keep'"], "accepts / 'redact' is gone"),
        (("keys", "train.to"), {"default": "required"}, "keys / train.to is required"),
        (("choices", "recipes"), [], "choices / recipes / qa is gone"),
        (("verbs", "train", "optional"), [], "optional / --resume is gone"),
        (("verbs", "train", "required"), ["--to FOLDER", "CONFIG"], "verbs / train requires --to FOLDER"),
    ],
)
def test_a_change_that_breaks_users_is_named(
    frozen: dict[str, Any], place: tuple[str, ...], value: Any, message: str
) -> None:
    assert message in "\n".join(broken(frozen, _changed(frozen, place, value)))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("names", "chat"), {"kind": "function", "parameters": {"config": {"default": "required"}}}),
        (("names", "train", "parameters", "to"), {"position": None, "accepts": ["str"], "default": "None"}),
        (("keys", "train.to"), {"accepts": ["str"], "default": "null"}),
        (("keys", "rewards.model"), {"accepts": ["str"], "default": "required"}),
        (("keys", "data.secrets", "accepts"), ["'drop'", "'hash'", "'keep'", "'redact'"]),
        (("verbs", "chat"), {"required": ["CONFIG"], "optional": []}),
    ],
)
def test_an_addition_breaks_nobody(frozen: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    assert broken(frozen, _changed(frozen, place, value)) == []


def _changed(frozen: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy with one value set, or taken out for None."""
    whole = copy.deepcopy(frozen)
    inner = whole
    for key in place[:-1]:
        inner = inner[key]
    if value is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return whole
