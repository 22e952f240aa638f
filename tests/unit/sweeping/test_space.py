"""From sweep.parameters to trials: which there are, what they are called, and what is refused."""

from typing import Any

import pytest

from ray_ft.config import Config, parse_config, to_plain
from ray_ft.errors import ConfigError
from ray_ft.sweeping.space import Trial, changed_values, expand, override

BASE: dict[str, Any] = {
    "run_name": "handbook",
    "model": {"name": "builtin:tiny"},
    "data": {"sources": ["docs"], "recipes": ["paragraph"]},
    "train": {"strategy": {"name": "qlora", "r": 8, "lora_alpha": 16, "bits": 8}},
}


def config(parameters: dict[str, Any], overrides: tuple[str, ...] = (), **sweep: Any) -> Config:
    return parse_config(BASE | {"sweep": {"parameters": parameters, **sweep}}, overrides)


def trials(parameters: dict[str, Any], **sweep: Any) -> list[Trial]:
    return expand(config(parameters, **sweep))


def test_a_grid_is_every_combination_and_each_trial_an_ordinary_run_below_the_sweeps() -> None:
    made = trials({"train.strategy.r": [4, 16], "train.learning_rate": [1e-4, 5e-4]})
    assert [trial.name for trial in made] == [
        "r-4_learning_rate-0.0001",
        "r-4_learning_rate-0.0005",
        "r-16_learning_rate-0.0001",
        "r-16_learning_rate-0.0005",
    ]
    last = made[-1].config
    assert last.train.strategy is not None
    assert (last.train.strategy.r, last.train.learning_rate) == (16, 5e-4)  # type: ignore[attr-defined]
    assert str(last.run_path) == "outputs/handbook/sweep/r-16_learning_rate-0.0005"
    assert last.sweep.parameters == {}
    assert parse_config(to_plain(last)) == last


def test_every_setting_comes_once_before_any_comes_with_another_seed() -> None:
    made = trials({"train.strategy.r": [4, 16]}, num_seeds=2)
    assert [(t.setting, t.seed, t.name) for t in made] == [
        ("r=4", 0, "r-4_seed-0"),
        ("r=16", 0, "r-16_seed-0"),
        ("r=4", 1, "r-4_seed-1"),
        ("r=16", 1, "r-16_seed-1"),
    ]
    # The split and the questions stay the same: only training has another seed.
    assert [(t.config.train.seed, t.config.seed) for t in made] == [(0, 0), (0, 0), (1, 0), (1, 0)]


def test_alpha_over_r_sets_alpha_in_step_with_the_rank() -> None:
    made = trials({"train.strategy.r": [4, 64], "train.strategy.alpha_over_r": [2, 0.5]})
    strategies: list[Any] = [t.config.train.strategy for t in made]
    assert [(s.r, s.lora_alpha) for s in strategies] == [(4, 8), (4, 2), (64, 128), (64, 32)]
    assert changed_values(made[2]) == {"train.strategy.r": 64, "train.strategy.lora_alpha": 128}


def test_what_trains_the_winner_alone_gives_the_trials_own_settings() -> None:
    parameters = {
        "train.strategy": ["lora", {"name": "qlora", "bits": 4}],
        "train.strategy.alpha_over_r": [4],
        "train.strategy.target_modules": [["q_proj", "v_proj"]],
        "train.learning_rate": [2e-5],
    }
    for trial in trials(parameters):
        overrides = [override(key, value) for key, value in changed_values(trial).items()]
        assert parse_config(BASE, overrides).train == trial.config.train


def test_an_override_on_the_command_line_replaces_the_files_values() -> None:
    given = config({"train.strategy.r": [4, 16]}, ("sweep.parameters.train.strategy.r=[2]",))
    assert [trial.setting for trial in expand(given)] == ["r=2"]


def test_random_search_draws_distinct_settings_and_the_same_ones_again() -> None:
    space = {"train.learning_rate": {"min": 1e-5, "max": 1e-3, "log": True}, "train.strategy.r": {"min": 2, "max": 64}}
    made = trials(space, search="random", num_settings=20)
    assert len({trial.name for trial in made}) == 20
    assert made == trials(space, search="random", num_settings=20)
    rates = [t.parameters["train.learning_rate"] for t in made]
    assert all(1e-5 <= rate <= 1e-3 for rate in rates)
    assert any(rate < 1e-4 for rate in rates)  # evenly over orders of magnitude: half of them below 1e-4
    assert all(isinstance(t.parameters["train.strategy.r"], int) for t in made)


def test_random_search_in_a_small_space_tries_all_of_it_once() -> None:
    assert len(trials({"train.strategy.r": [1, 2, 4]}, search="random", num_settings=10)) == 3
    assert len(trials({"train.strategy.r": {"min": 1, "max": 3}}, search="random", num_settings=10)) == 3


def test_without_parameters_a_sweep_is_over_seeds_alone() -> None:
    made = trials({}, num_seeds=3)
    assert [(t.name, t.config.run_name, t.config.train.seed) for t in made] == [
        (name, name, seed) for seed in range(3) for name in [f"as_configured_seed-{seed}"]
    ]


def test_names_stay_apart_where_folders_allow_less_than_values() -> None:
    first, second = trials({"train.strategy.target_modules": [["a b"], ["a_b"]]})
    assert first.name != second.name
    assert "/" not in first.name


@pytest.mark.parametrize(
    ("parameters", "sweep", "message"),
    [
        ({}, {}, "sweep.parameters is empty"),
        ({"train.lerning_rate": [1]}, {}, "Did you mean 'learning_rate'"),
        ({"data.recipes": [["qa"]]}, {}, "trials share one training set"),
        ({"train.seed": [1, 2]}, {}, "sweep.num_seeds"),
        ({"train.learning_rate": 1e-4}, {}, "expected a list of values"),
        ({"train.learning_rate": [1e-4, 1e-4]}, {}, "holds a value twice"),
        ({"train.learning_rate": [-1.0]}, {}, "must be above 0"),
        ({"train.learning_rate": {"min": 1, "max": 2}}, {}, "draw from a range with sweep.search=random"),
        ({"train.learning_rate": {"min": 0, "max": 2, "log": True}}, {"search": "random"}, "above 0"),
        ({"train.strategy.r": [4]}, {"search": "random"}, "sweep.num_settings"),
        ({"train.strategy.alpha_over_r": [0.3]}, {}, "0.3 times r=8 is 2.4"),
        ({"train.strategy.alpha_over_r": [2], "train.strategy.lora_alpha": [8]}, {}, "give one of them"),
        ({"train.strategy": ["full"], "train.strategy.alpha_over_r": [2]}, {}, "one with a rank"),
    ],
)  # fmt: skip
def test_a_sweep_that_cannot_work_says_so_in_one_line(
    parameters: dict[str, Any], sweep: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        trials(parameters, **sweep)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
