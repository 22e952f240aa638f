"""Measured figures: written and read alike, and refused in one line where they cannot be meant."""

from pathlib import Path

import pytest

from ray_ft.errors import ConfigError
from ray_ft.planning.profile import DEFAULT, Profile, load_profiles, packaged_profiles, profile_for, save_profiles


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    profiles = {"L4": Profile(source="a test", num_runs=3, context_bytes=7, efficiency=0.5), "H200": DEFAULT}
    save_profiles(profiles, tmp_path / "profiles.yaml")
    assert load_profiles(tmp_path / "profiles.yaml") == profiles


def test_a_gpu_that_nobody_measured_gets_the_defaults() -> None:
    assert profile_for("T4", {}) == DEFAULT
    assert profile_for("T4", {"T4": Profile(num_runs=1)}).num_runs == 1


def test_the_packages_own_figures_are_of_gpus_that_it_knows() -> None:
    assert profile_for("H200") is packaged_profiles()["H200"]
    assert profile_for("H200").num_runs >= 40
    assert profile_for("T4") == DEFAULT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "is no mapping of GPU names to figures"),
        ("H200: 3", "is no mapping of GPU names to figures"),
        ("H200: {context_byte: 1}", "H200 has no figure 'context_byte'; known are source, num_runs"),
        ("H20: {context_bytes: 1}", "no such GPU 'H20'; known are T4"),
        ("H200: {context_bytes: 1.5}", "H200.context_bytes is 1.5; it must be a whole number, 0 or more"),
        ("H200: {efficiency: fast}", "H200.efficiency is 'fast'; it must be a number, 0 or more"),
        ("H200: {efficiency: -1}", "H200.efficiency is -1; it must be a number, 0 or more"),
        ("H200: [", "cannot read"),
    ],
)
def test_a_file_that_cannot_be_meant_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_profiles(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_gets_one_line() -> None:
    with pytest.raises(ConfigError, match=r"plan\.profile: cannot read /nowhere\.yaml"):
        load_profiles("/nowhere.yaml")
