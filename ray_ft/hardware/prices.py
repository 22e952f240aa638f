"""What a GPU costs by the hour: prices.yaml of the package, or a file of one's own."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ray_ft.errors import ConfigError
from ray_ft.hardware.gpus import GPUS, catalogue_name


@cache
def packaged_prices() -> Mapping[str, float]:
    """US dollars per GPU and hour, by catalogue name."""
    return load_prices(Path(__file__).with_name("prices.yaml"))


def load_prices(path: str | Path) -> dict[str, float]:
    """Prices from a YAML mapping of GPU names, however spelled, to US dollars per GPU and hour.

    Raises ConfigError, in one line, for a file that cannot be read, an unknown GPU or what is no price.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"plan.prices: cannot read {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"plan.prices: {path} is no mapping of GPU names to US dollars per hour, such as L4: 0.8")
    prices = {}
    for given, price in content.items():
        name = catalogue_name(str(given))
        if name is None:
            raise ConfigError(f"plan.prices: {path}: no such GPU {given!r}; known are {', '.join(GPUS)}")
        if isinstance(price, bool) or not isinstance(price, (int, float)) or price < 0:
            raise ConfigError(f"plan.prices: {path}: {given} is {price!r}; it must be US dollars per GPU and hour")
        prices[name] = float(price)
    return prices
