"""State of our own engines fits any layout and number of workers, and is refused where it does not fit the model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from threaded_ranks import DTYPES, engine_of, run_ranks, train

from ray_ft.errors import TrainingError
from ray_ft.training.backends.saved_state import TENSORS, SavedParameters

SHAPES = {"0.weight": (24, 16), "0.bias": (24,), "1.weight": (40, 24), "1.bias": (40,), "2.weight": (3, 40)}


def write(engine: Any, folder: Path) -> None:
    for name, state in engine.host_state().items():
        torch.save(state, folder / name)


def whole(folder: Path) -> dict[tuple[str, str], Any]:
    """Every parameter's weight and moments, from all files of a folder."""
    saved, found = SavedParameters(folder, SHAPES), {}
    for name, shape in SHAPES.items():
        for key in TENSORS:
            found[name, key] = torch.full((torch.Size(shape).numel(),), float("nan"))
            saved.copy(name, key, found[name, key])
        found[name, "step"] = saved.step(name)
    return found


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the layers do not share one, and how many do depends on the bytes of a gradient."""
    monkeypatch.setattr("ray_ft.training.backends.gradients.BUCKET_BYTES", 4096)


LAYOUTS = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]  # workers, micro-batches; each is gone on from by the next


@pytest.mark.parametrize("precision", list(DTYPES))
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_state_of_any_layout_is_gone_on_from_by_any_other(stage: int, precision: str, tmp_path: Path) -> None:
    for layout in LAYOUTS:
        folder = tmp_path / "-".join(map(str, layout))
        folder.mkdir()

        def first(rank: int, folder: Path = folder, layout: tuple[int, int] = layout) -> None:
            engine = engine_of(stage, precision, world_size=layout[0], num_micro_batches=layout[1])
            train(engine, rank=rank, num_micro_batches=layout[1], num_steps=2)
            write(engine, folder)

        run_ranks(layout[0], first)
    for source, target in zip(LAYOUTS, [*LAYOUTS[1:], LAYOUTS[0]], strict=True):
        folder = tmp_path / "-".join(map(str, source))
        again = tmp_path / f"{folder.name}-to-{'-'.join(map(str, target))}"
        again.mkdir()

        def second(rank: int, folder: Path = folder, again: Path = again, layout: tuple[int, int] = target) -> Any:
            engine = engine_of(stage, precision, world_size=layout[0], num_micro_batches=layout[1])
            engine.load_state(folder)
            write(engine, again)
            return {name: p.detach().clone() for name, p in engine.module.named_parameters()}

        weights = run_ranks(target[0], second)
        then, now = whole(folder), whole(again)
        assert [key for key in then if not torch.equal(then[key], now[key])] == [], (source, target)
        for name, shape in SHAPES.items():  # the model computes with them, on every rank
            expected = then[name, "weight"].reshape(shape).to(getattr(torch, DTYPES[precision]))
            assert all(torch.equal(of_rank[name], expected) for of_rank in weights), (source, target)


@pytest.fixture(params=[0, 1])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> dict[Path, dict[str, Any]]:
    """What two ranks wrote."""

    def work(rank: int) -> None:
        engine = engine_of(request.param, "bf16", world_size=2, num_micro_batches=1)
        train(engine, rank=rank, num_micro_batches=1, num_steps=1)
        write(engine, tmp_path)

    run_ranks(2, work)
    return {path: torch.load(path, weights_only=True) for path in sorted(tmp_path.glob("*.pt"))}


def change_name(pieces: dict[str, Any]) -> None:
    pieces["0.strange"] = pieces.pop("0.weight")


def change_shape(pieces: dict[str, Any]) -> None:
    pieces["0.weight"]["shape"] = [16, 24]


def change_dtype(pieces: dict[str, Any]) -> None:
    pieces["0.weight"]["exp_avg"] = pieces["0.weight"]["exp_avg"].bfloat16()


def lose_an_end(pieces: dict[str, Any]) -> None:
    for key in TENSORS:
        pieces["0.weight"][key] = pieces["0.weight"][key][:-1]


def lose_a_moment(pieces: dict[str, Any]) -> None:
    del pieces["0.weight"]["exp_avg_sq"]


def begin_earlier(pieces: dict[str, Any]) -> None:
    pieces["0.weight"]["start"] -= 1


def lose_it(pieces: dict[str, Any]) -> None:
    del pieces["0.weight"]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (change_name, "0.strange does not train here"),
        (change_shape, r"0.weight has shape \[16, 24\] instead of \[24, 16\]"),
        (change_dtype, "0.weight is saved as bfloat16 instead of float32"),
        (lose_an_end, r"0.weight (lacks its element \d+|ends at element 383 of 384|has moments)"),
        (lose_a_moment, "0.weight has not all of its optimizer's state"),
        (begin_earlier, r"0.weight twice has its element"),
        (lose_it, r"0.weight (is missing|lacks its element|ends at element)"),
    ],
)
def test_what_does_not_fit_is_refused(harm: Any, said: str, files: dict[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, state = next((path, state) for path, state in reversed(files.items()) if "0.weight" in state["parameters"])
    harm(state["parameters"])
    torch.save(state, path)
    with pytest.raises(TrainingError, match=said):
        SavedParameters(tmp_path, SHAPES)


def test_a_rank_s_file_that_is_missing_is_noticed(files: dict[Path, dict[str, Any]], tmp_path: Path) -> None:
    next(reversed(files)).unlink()
    with pytest.raises(TrainingError, match=r"is missing|lacks its element|ends at element"):
        SavedParameters(tmp_path, SHAPES)


def test_shares_without_names_are_refused_in_one_line(tmp_path: Path) -> None:
    share = {"names": "0.weight,0.bias", "start": 0, "weight": torch.zeros(64)}
    torch.save({"shares": [share], "norms": torch.zeros(32)}, tmp_path / "partitioned-00000.pt")
    with pytest.raises(TrainingError, match=r"an earlier version wrote it") as raised:
        SavedParameters(tmp_path, SHAPES)
    assert "\n" not in str(raised.value)


def test_whole_parameters_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    state = {
        name: {"weight": torch.randn(shape), "exp_avg": torch.ones(shape), "exp_avg_sq": torch.ones(shape),
               "step": torch.tensor(3.0)}
        for name, shape in SHAPES.items()
    }  # fmt: skip
    torch.save({"parameters": state, "norms": torch.zeros(32)}, tmp_path / "replicated-00000.pt")
    found = whole(tmp_path)
    assert all(
        torch.equal(found[name, "weight"].reshape(shape), state[name]["weight"]) for name, shape in SHAPES.items()
    )
