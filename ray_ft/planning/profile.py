"""What only measuring tells of a GPU and the software on it: fixed overheads, rates, and how far predictions are off.

`scripts/calibrate` writes such figures; profiles.yaml beside this file holds those that come with the package. What
follows from a model's shape and the training loop's code is not here but in the formulas of memory and speed.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ray_ft.errors import ConfigError
from ray_ft.hardware import GIB, GPUS

MIB = 2**20


@dataclass(frozen=True)
class Profile:
    """One GPU's figures; the defaults are those of published runs, for a GPU that nobody has measured."""

    source: str = "published runs of similar software"
    """Where the figures come from, for people."""
    num_runs: int = 0
    """Measured runs behind them; 0 where nothing was measured on this GPU."""
    context_bytes: int = GIB // 2
    """On the GPU, of kernels and the driver, which torch does not count."""
    nccl_bytes: int = GIB // 2
    """On the GPU, of NCCL's channels to other workers, which torch does not count."""
    workspace_bytes: int = 2 * 8 * MIB
    """Allocated by torch for cuBLAS, for each of the two threads that compute."""
    needed_ratio: float = 1.015
    """Reserved / allocated memory at the peak where memory is short, and torch gives back what it keeps unused."""
    reserved_ratio: float = 1.015
    """The same with room to spare, where few weights train."""
    reserved_ratio_full: float = 1.05
    """The same where all weights train."""
    reserved_ratio_deepspeed: float = 1.14
    """The same where DeepSpeed trains them at stages 0 to 2, which copies gradients into large buffers."""
    reserved_ratio_zero3: float = 1.09
    """The same under ZeRO-3, which gathers and frees weights all the time."""
    memory_error: float = 0.02
    """Standard deviation of measured / predicted memory that must be there, as a fraction."""
    process_bytes: int = 4 * GIB
    """Host memory of a worker's process with CUDA."""
    node_bytes: int = 2 * GIB
    """Host memory of Ray's daemons and the controller."""
    efficiency: float | None = None
    """Share of the GPU's peak FLOP/s that products reach with the project's kernels; None: the catalogue's."""
    eager_efficiency: float | None = None
    """The same of all arithmetic without those kernels, as under ZeRO-3; None: the catalogue's, of eager training."""
    attention_efficiency: float | None = None
    """Share of the peak that attention reaches with those kernels; None: published runs'."""
    attention: str = "flash2"
    """Kernel that this was measured with: flash2, PyTorch's own, or flash4, FlashAttention-4."""
    traffic_efficiency: float | None = None
    """Share of the memory's bandwidth that everything elementwise reaches with them; None: published runs'."""
    dequantise_rate: float | None = None
    """Parameters per second from 4 bits to 16; None: from the memory's bandwidth."""
    link_bandwidth: float | None = None
    """Bytes per second between GPUs of a node, as collectives realise it; None: the catalogue's."""
    network_bandwidth: float | None = None
    """Bytes per second between nodes; None: the catalogue's."""
    pcie_bandwidth: float | None = None
    """Bytes per second between a GPU and its host; None: the catalogue's."""
    host_bandwidth: float = 100e9
    """Bytes per second of a node's memory, which its workers share."""
    read_rate: float = 1e9
    """Bytes per second of a checkpoint from disk or network storage."""
    launch_seconds: float = 1.2e-3
    """Of one layer and pass: Python and kernel launches, when the GPU waits for them."""
    hook_seconds: float = 4e-4
    """Of one module and pass under ZeRO-3: the Python that gathers its weights and lets them go."""
    step_seconds: float = 0.0
    """Of every optimizer step whatever it computes: reading rows, logging, waiting."""
    time_error: float = 0.25
    """Standard deviation of measured / predicted step time, as a fraction."""


def profile_for(gpu: str, profiles: Mapping[str, Profile] | None = None) -> Profile:
    """The profile of a catalogue name among `profiles` (None: those of the package), else the defaults."""
    return (packaged_profiles() if profiles is None else profiles).get(gpu, DEFAULT)


@cache
def packaged_profiles() -> Mapping[str, Profile]:
    """Profiles that come with the package, by the GPU's catalogue name."""
    return load_profiles(Path(__file__).with_name("profiles.yaml"))


def load_profiles(path: str | Path) -> dict[str, Profile]:
    """Profiles from YAML or JSON: a mapping of catalogue names to fields; fields left out keep their defaults.

    Raises ConfigError, in one line, for a file that cannot be read, an unknown GPU, field or value.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"plan.profile: cannot read {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict) or not all(isinstance(fields, dict) for fields in content.values()):
        raise ConfigError(f"plan.profile: {path} is no mapping of GPU names to figures; scripts/calibrate writes one")
    return {str(gpu): _profile(str(gpu), fields, str(path)) for gpu, fields in content.items()}


def save_profiles(profiles: Mapping[str, Profile], path: str | Path) -> None:
    """Write profiles as `load_profiles` reads them; fields that have their defaults are left out."""
    import yaml

    defaults = dataclasses.asdict(DEFAULT)
    content = {
        gpu: {name: value for name, value in dataclasses.asdict(profile).items() if value != defaults[name]}
        for gpu, profile in profiles.items()
    }
    Path(path).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _profile(gpu: str, fields: Mapping[str, Any], path: str) -> Profile:
    if gpu not in GPUS:
        raise ConfigError(f"plan.profile: {path}: no such GPU {gpu!r}; known are {', '.join(GPUS)}")
    known = {field.name: field for field in dataclasses.fields(Profile)}
    for name, value in fields.items():
        if name not in known:
            raise ConfigError(f"plan.profile: {path}: {gpu} has no figure {name!r}; known are {', '.join(known)}")
        if name == "source":
            continue
        if name == "attention":
            if value not in ("flash2", "flash4"):
                raise ConfigError(f"plan.profile: {path}: {gpu}.attention is {value!r}; it must be flash2 or flash4")
            continue
        whole = isinstance(known[name].default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value < 0:
            kind = "whole number" if whole else "number"
            raise ConfigError(f"plan.profile: {path}: {gpu}.{name} is {value!r}; it must be a {kind}, 0 or more")
    return Profile(**fields)


DEFAULT = Profile()
