"""What GPUs cost: the package's prices, one's own, and those that cannot be meant."""

from pathlib import Path

import pytest

from ray_ft.config import PlanConfig
from ray_ft.errors import ConfigError
from ray_ft.hardware import GPUS, hardware_for, packaged_prices


def test_every_gpu_of_the_catalogue_has_a_price() -> None:
    assert set(packaged_prices()) == set(GPUS)


def test_prices_of_ones_own_replace_the_packages_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("NVIDIA A100 80GB: 1.2\n")
    assert hardware_for(PlanConfig(gpu="A100-80GB", prices=str(path))).price_per_hour == 1.2
    assert hardware_for(PlanConfig(gpu="L4", prices=str(path))).price_per_hour == packaged_prices()["L4"]
    assert hardware_for(PlanConfig(gpu="A100-80GB", prices=str(path), price_per_hour=3.0)).price_per_hour == 3.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 3\n", "is no mapping of GPU names to US dollars per hour"),
        ("L5: 1\n", "no such GPU 'L5'; known are T4"),
        ("L4: cheap\n", "L4 is 'cheap'; it must be US dollars per GPU and hour"),
        ("L4: -1\n", "L4 is -1; it must be"),
        ("L4: [\n", "cannot read"),
    ],
)
def test_prices_that_cannot_be_meant_get_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        hardware_for(PlanConfig(gpu="L4", prices=str(path)))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
