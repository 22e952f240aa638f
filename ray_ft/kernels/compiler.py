"""Whether kernels can be built here."""

import importlib.util
import shutil
from functools import cache


def has_c_compiler() -> bool:
    """Triton's launchers, and what torch.compile makes, need a C compiler at run time."""
    return any(shutil.which(name) for name in ("cc", "gcc", "clang"))


@cache
def can_build_kernels() -> bool:
    """Whether kernels written in Triton run on this machine's GPU; asked once, since hot paths ask it."""
    return has_c_compiler() and importlib.util.find_spec("triton") is not None
