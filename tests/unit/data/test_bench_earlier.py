"""Two versions of the package in one process: each reads with its own modules, and the one that was there stays."""

import shutil
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


def test_an_earlier_version_reads_in_turns_with_this_one(
    scripts: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.data.earlier import PACKAGE, compare

    earlier = tmp_path / "earlier"
    shutil.copytree(REPOSITORY / PACKAGE, earlier / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    plain = earlier / PACKAGE / "data" / "formats" / "text" / "__init__.py"
    plain.write_text(plain.read_text() + "\n\ndef parse_text(text):\n    print('earlier', text)\n    return text\n")
    here = {name: module for name, module in sys.modules.items() if name.startswith(PACKAGE)}
    assert compare([("a.txt", b"Two words."), ("a.md", b"# A\n")], earlier, rounds=2) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown.count("earlier Two words.") == 2
    rows = [row.split(" | ")[:2] for row in shown if row.startswith("| .")]
    assert rows == [["| .md", "1"], ["| .txt", "1"]]
    assert here.items() <= sys.modules.items()
    assert str(earlier) not in str(sys.modules[f"{PACKAGE}.data.formats"].__file__)


def test_a_folder_without_a_version_is_told(scripts: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.data.earlier import compare

    assert compare([], tmp_path, rounds=1) == 1
    assert f"no version of ray_ft in {tmp_path}" in capsys.readouterr().err
