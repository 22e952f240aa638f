import json
from pathlib import Path

from ray_ft.training.reporting.metrics import keep_until, read_metrics


def test_lines_after_the_resumed_step_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": s}) + "\n" for s in range(1, 6)) + '{"step": 6, "lo')
    keep_until(path, 3)
    assert [values["step"] for values in read_metrics(path)] == [1, 2, 3]
