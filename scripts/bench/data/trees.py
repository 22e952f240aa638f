"""Examples of whole trees of documents and code: drawn for a reader of two versions, scored, and searched for bad ones.

    scripts/bench_data trees draw BEFORE AFTER --output drawn
    scripts/bench_data trees score drawn --grades grades.jsonl --output docs/benchmarks/examples.csv
    scripts/bench_data trees patterns AFTER

BEFORE and AFTER hold a run of `ray-ft prepare` for each tree, made by two versions. What useful, poor and wrong mean
says docs/benchmarks/examples.md.
"""

import argparse
import hashlib
import json
import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MAX_SHOWN = 3000  # characters of a text that a reader sees: its two ends
VERSIONS = ("before", "after")
COLUMNS = ["prompt", "completion", "chunk_id", "recipe", "messages", "dropped"]
KEY = "key.json"


def main(argv: list[str] | None = None) -> int:
    """Draw, score or count; 1 where grades are missing."""
    from bench.data.bad_rows import patterns
    from bench.data.grades import score

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    drawing = parts.add_parser("draw", help="rows of both versions for a reader who cannot tell which is whose")
    drawing.add_argument("before", type=Path)
    drawing.add_argument("after", type=Path)
    drawing.add_argument("--seed", type=int, default=None, help="of the drawing; the date of the last commit otherwise")
    drawing.add_argument("--per-recipe", type=int, default=50, help="rows of each version, recipe and tree")
    drawing.add_argument("--recipes", default="", help="names, with commas; all that there are otherwise")
    drawing.add_argument("--output", type=Path, required=True)
    drawing.set_defaults(run=_draw)
    scoring = parts.add_parser("score", help="what the grades of a drawing say of both versions")
    scoring.add_argument("folder", type=Path)
    scoring.add_argument("--grades", type=Path, nargs="+", required=True, help="JSON lines or CSV: id, grade, why")
    scoring.add_argument("--output", type=Path, help="CSV of the table")
    scoring.set_defaults(run=lambda given: score(given.folder / KEY, given.grades, output=given.output))
    counting = parts.add_parser("patterns", help="rows that hold what no row should hold")
    counting.add_argument("root", type=Path)
    counting.add_argument("--output", type=Path, help="CSV of the table")
    counting.set_defaults(run=lambda given: patterns(given.root, output=given.output))
    given = parser.parse_args(argv)
    return int(given.run(given))


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The training examples of a run that were not dropped, in an order that no run changes."""
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(
        run / "data" / "examples.parquet", columns=COLUMNS
    ).to_pylist()
    return sorted((row for row in rows if not row["dropped"]), key=_content)


def draw(
    before: Path, after: Path, *, seed: int, per_recipe: int, recipes: Sequence[str] = ()
) -> tuple[dict[str, list[dict[str, str]]], dict[str, Any]]:
    """What a reader sees, by tree and recipe, and the key: whose each row is, rows in all and MB by tree.

    A row that is drawn of both versions is shown once, and its grade counts for both.
    """
    shown: dict[str, list[dict[str, str]]] = {}
    trees: dict[str, Any] = {}
    ids: dict[str, Any] = {}
    for tree in sorted(path.name for path in after.iterdir() if (before / path.name / "data").is_dir()):
        rows = {version: rows_of(root / tree) for version, root in zip(VERSIONS, (before, after), strict=True)}
        of_recipe = {
            version: {name: [r for r in rows[version] if r["recipe"] == name] for name in _names(rows, recipes)}
            for version in VERSIONS
        }
        counts = {
            recipe: {version: len(of_recipe[version][recipe]) for version in VERSIONS} for recipe in of_recipe["after"]
        }
        trees[tree] = {"mb": max(_megabytes(root / tree) for root in (before, after)), "rows": counts}
        for recipe in counts:
            drawn: dict[str, dict[str, str]] = {}
            for version in VERSIONS:
                every = of_recipe[version][recipe]
                for row in random.Random(f"{seed}:{tree}:{recipe}:{version}").sample(
                    every, min(per_recipe, len(every))
                ):
                    name = hashlib.sha256(f"{seed}\0{tree}\0{_content(row)}".encode()).hexdigest()[:12]
                    drawn[name] = _shown(name, tree, row)
                    ids.setdefault(name, {"tree": tree, "recipe": recipe, "versions": []})["versions"].append(version)
            shown[f"{tree}.{recipe}"] = [drawn[name] for name in sorted(drawn)]  # ids are hashes: their order is mixed
    return shown, {"seed": seed, "per_recipe": per_recipe, "trees": trees, "ids": ids}


def _draw(given: argparse.Namespace) -> int:
    seed = given.seed if given.seed is not None else _last_commit()
    recipes = [name for name in given.recipes.split(",") if name]
    shown, key = draw(given.before, given.after, seed=seed, per_recipe=given.per_recipe, recipes=recipes)
    given.output.mkdir(parents=True, exist_ok=True)
    for name, rows in shown.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (given.output / f"{name}.jsonl").write_text("".join(lines))
    (given.output / KEY).write_text(json.dumps(key, indent=1) + "\n")
    print(f"seed {seed}: {len(key['ids']):,} rows of {len(key['trees'])} trees in {given.output}; {KEY} says whose")
    return 0


def _names(rows: dict[str, list[dict[str, Any]]], recipes: Sequence[str]) -> list[str]:
    found = sorted({row["recipe"] for version in VERSIONS for row in rows[version]})
    return [name for name in found if not recipes or name in recipes]


def _content(row: dict[str, Any]) -> str:
    """What tells a row from all others of its tree, whatever version made it."""
    said = [message["content"] for message in row["messages"] or ()]
    return json.dumps([row["recipe"], _path(row), row["prompt"], row["completion"], said])


def _path(row: dict[str, Any]) -> str:
    """Of `digest:folder/page.html#heading-3`, `folder/page.html`."""
    return str(row["chunk_id"]).split(":", 1)[-1].rsplit("#", 1)[0]


def _shown(name: str, tree: str, row: dict[str, Any]) -> dict[str, str]:
    about = {"id": name, "tree": tree, "recipe": row["recipe"], "path": _path(row)}
    if row["messages"]:
        return about | {"messages": "\n\n".join(f"{m['role']}: {cut(m['content'])}" for m in row["messages"])}
    if not row["prompt"]:
        return about | {"text": cut(row["completion"])}
    return about | {"prompt": cut(row["prompt"]), "completion": cut(row["completion"])}


def cut(text: str) -> str:
    """A text as a reader sees it: of a long one both ends, with a mark between them."""
    left_out = len(text) - MAX_SHOWN
    half = MAX_SHOWN // 2
    return text if left_out <= 0 else f"{text[:half]}\n[… {left_out:,} characters not shown …]\n{text[-half:]}"


def _megabytes(run: Path) -> float:
    """What the run's sources hold."""
    return float(json.loads((run / "training_set.json").read_text())["inputs"]["sources"]["num_bytes"]) / 1e6


def _last_commit() -> int:
    command = ["git", "log", "-1", "--format=%cd", "--date=format:%Y%m%d"]
    said = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return int(said.stdout)


def trees_below(root: Path) -> Iterator[Path]:
    """The runs below a folder, by name."""
    yield from sorted(path for path in root.iterdir() if (path / "data" / "examples.parquet").exists())
