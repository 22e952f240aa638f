"""The wheel as users install it: built, put into an environment of its own, and run from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.long]
REPOSITORY = Path(__file__).parents[2]
CONFIG = """\
run_name: wheel
output_dir: outputs
model: {{name: {model}, max_seq_len: 256}}
data: {{sources: [guide.md], recipes: [heading, paragraph]}}
plan: {{gpu: T4}}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing an earlier build left here gets into it, and without asking an index."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    shutil.copytree(REPOSITORY / "ray_ft", source / "ray_ft", ignore=shutil.ignore_patterns("__pycache__"))
    _run(
        sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--no-build-isolation", "--no-index",
        "--wheel-dir", str(built), folder=built,
    )  # fmt: skip
    (made,) = built.glob("ray_ft-*.whl")
    return made


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of an environment that has the wheel, and finds what it depends on where the tests do."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    _run(sys.executable, "-m", "venv", "--without-pip", str(environment), folder=wheel.parent)
    python = environment / "bin" / "python"
    _run(
        sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel),
        folder=wheel.parent,
    )  # fmt: skip
    packages = next(environment.glob("lib/python*/site-packages"))
    # A folder named in a .pth file is searched after site-packages, and its own .pth files are not read: so the
    # ray_ft that is installed for the tests stays out of sight.
    (packages / "dependencies.pth").write_text("\n".join(sorted({_path("purelib"), _path("platlib")})) + "\n")
    return environment / "bin"


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    package = REPOSITORY / "ray_ft"
    files = {f"ray_ft/{path.relative_to(package).as_posix()}" for path in package.rglob("*") if path.is_file()}
    wanted = {name for name in files if "__pycache__" not in name}
    assert {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("ray_ft/")} == wanted


def test_the_installed_package_is_the_wheels(programs: Path, tmp_path: Path) -> None:
    found = _run(str(programs / "python"), "-c", "import ray_ft; print(ray_ft.__file__)", folder=tmp_path)
    assert Path(found.strip()).is_relative_to(programs.parent)


def test_the_installed_programs_run_in_another_folder(programs: Path, tmp_path: Path, tiny_model_path: str) -> None:
    bodies = [" ".join(f"ferry{part} valve{n} deck{n * part}" for n in range(40)) for part in range(1, 9)]
    sections = [f"## Part {part}\n\n{body}\n" for part, body in enumerate(bodies, start=1)]
    (tmp_path / "guide.md").write_text("# Guide\n\n" + "\n".join(sections))
    (tmp_path / "small.yaml").write_text(CONFIG.format(model=tiny_model_path))
    ray_ft = str(programs / "ray-ft")
    assert "qlora" in _run(ray_ft, "show", folder=tmp_path)
    _run(ray_ft, "prepare", "small.yaml", folder=tmp_path)
    run = tmp_path / "outputs" / "wheel"
    assert list(run.glob("data/shards/*.npy"))
    assert "T4" in _run(ray_ft, "plan", "small.yaml", folder=tmp_path)
    assert (run / "plan.json").is_file()
    _run(ray_ft, "inspect", "small.yaml", "--to", "shared", folder=tmp_path)
    assert (tmp_path / "shared" / "README.md").is_file()


def _run(*command: str, folder: Path) -> str:
    """Standard output of a command that ends with 0; the tests' own PYTHONPATH and cluster are not for it."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "RAY_ADDRESS")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def _path(name: str) -> str:
    return sysconfig.get_path(name)
