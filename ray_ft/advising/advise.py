"""Asks every rule, in order, and gathers what they settle into a configuration that `ray-ft plan` takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ray_ft.advising.case import Case
from ray_ft.advising.corpus_rules import CORPUS_RULES, Rule
from ray_ft.advising.run_rules import PLAN_RULES, RUN_RULES
from ray_ft.advising.sources import SOURCES, label_of
from ray_ft.artifacts import Advice, Estimate, Remark
from ray_ft.config import Config, to_plain

METHODS = ("lora", "qlora", "full")
TOPICS = (
    "expect", "retrieval", "recipe", "mend", "model", "method", "rank", "rate", "epochs", "batch", "rows", "precision",
    "gpu", "serve", "exam", "forget",
)  # fmt: skip
"""In the order in which they are shown."""

Estimating = Callable[[dict[str, Any]], Estimate | None]
"""Of a configuration in its plain form, what planning says of it; None where nothing fits in time."""


def advise(case: Case, estimate: Estimating) -> Advice:
    """What to start with; `estimate` is asked once for each method, with all other settings in place."""
    remarks, case = _ask((*CORPUS_RULES, *RUN_RULES), case)
    if case.config.plan.num_tokens is None and not case.profile.num_train_tokens:
        case = replace(case, settings={**case.settings, "plan.num_tokens": case.num_epoch_tokens})
    chosen = dict(case.settings.get("train.strategy", {}))
    tried = {name: _with_method(case.settings, name, chosen) for name in METHODS}
    case = replace(case, estimates={name: estimate(suggested(case.config, keys)) for name, keys in tried.items()})
    planned, case = _ask(PLAN_RULES, case)
    name = case.settings.get("train.strategy", {}).get("name", "lora")
    if name == "full":  # no adapter, so nothing to say of its rank
        remarks = [one for one in remarks if one.rule != "rank"]
    remarks = sorted([*remarks, *planned], key=lambda one: TOPICS.index(one.topic))
    settings = _with_method(case.settings, name, chosen)
    cited = {label_of(one) for remark in remarks for one in (*remark.sources, *remark.other_sources)}
    return Advice(
        model=case.shape.name,
        goal=case.goal,
        goal_is_guessed=case.config.goal is None,
        profile=case.profile,
        remarks=tuple(remarks),
        suggested=suggested(case.config, settings | {"goal": case.goal}),
        sources={label: title for label, title in SOURCES.items() if label in cited},
    )


def _ask(rules: Sequence[Rule], case: Case) -> tuple[list[Remark], Case]:
    """What the rules say, each knowing what those before it settled."""
    remarks: list[Remark] = []
    for rule in rules:
        remark = rule(case)
        if remark is not None:
            remarks.append(remark)
            case = replace(case, settings=merged(case.settings, remark.settings))
    return remarks, case


def merged(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with more of them: recipes join the list, keys of the strategy join it, others replace."""
    made = dict(settings)
    for key, value in more.items():
        if key == "data.recipes":
            recipes = {one["name"]: one for one in made.get(key, [])}
            for one in ({"name": given} if isinstance(given, str) else given for given in value):
                recipes[one["name"]] = recipes.get(one["name"], {}) | one
            made[key] = list(recipes.values())
        elif key == "train.strategy":
            made[key] = made.get(key, {}) | value
        else:
            made[key] = value
    return made


def _with_method(settings: Mapping[str, Any], name: str, adapter: Mapping[str, Any]) -> dict[str, Any]:
    """The settings under one method; an adapter's keys mean nothing to full tuning."""
    keys = {"name": name} if name == "full" else {"name": name, **{k: v for k, v in adapter.items() if k != "name"}}
    return {**settings, "train.strategy": keys}


def suggested(config: Config, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration's own keys, without those that are as by default, and the settings over them."""
    plain = _changed(config)
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        place = plain.setdefault(section, {}) if section else plain
        if key == "data.recipes":
            own = {one["name"]: one for one in place.get(name, [])}
            value = [own.get(one["name"], {}) | one for one in value]
        place[name] = value
    return plain


def _changed(value: Any) -> dict[str, Any]:
    """Keys of a section that differ from its defaults, in their YAML form; a choice always has its name."""
    default = _default(type(value))
    found: dict[str, Any] = {}
    for f in fields(value):
        own = getattr(value, f.name)
        if own == default.get(f.name) and f.name != "name":
            continue
        if isinstance(own, tuple) and own and all(map(is_dataclass, own)):
            found[f.name] = [_changed(one) for one in own]
        else:
            found[f.name] = _changed(own) if is_dataclass(own) and not isinstance(own, type) else to_plain(own)
    return found


def _default(cls: Any) -> dict[str, Any]:
    made = cls()
    return {f.name: getattr(made, f.name) for f in fields(cls)}
