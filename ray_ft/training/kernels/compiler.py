"""Whether kernels can be built here."""

import shutil


def has_c_compiler() -> bool:
    """Triton's launchers, and what torch.compile makes, need a C compiler at run time."""
    return any(shutil.which(name) for name in ("cc", "gcc", "clang"))
