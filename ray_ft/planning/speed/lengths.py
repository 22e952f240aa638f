"""How far attention reaches in packed rows: it costs what the example costs that a token is in, not the row."""

import json
from pathlib import Path

from ray_ft.storage import is_uri, part_of

SHARDS = 8  # looked at where each has to be fetched
ROWS = 64  # looked at of each file, spread over it


def attended_tokens(training_set_path: str | Path) -> float | None:
    """Mean length of the example that a token of the packed training rows is in; None where there are no rows.

    Attention of a token is over the positions before it, so its cost follows sum(n^2) / sum(n) over the lengths n of
    examples, which long ones dominate, and not their mean. Padding is one more example: it is computed like any.
    """
    import numpy as np

    try:
        manifest = part_of(training_set_path, "shards/manifest.json")
        shards = json.loads(manifest.read_text())["splits"]["train"]["shards"]
        total = num_tokens = 0
        # Of a set in storage some shards are fetched, spread over it.
        for shard in shards[:: max(1, len(shards) // SHARDS) if is_uri(training_set_path) else 1]:
            rows = np.load(
                part_of(training_set_path, f"shards/{shard['file']}"), mmap_mode="r"
            )  # [rows, 3, tokens]: the last is position_ids
            positions = rows[:: max(1, len(rows) // ROWS), 2]
            total, num_tokens = total + int(positions.sum(dtype=np.int64)), num_tokens + positions.size
    except (OSError, ValueError, KeyError, IndexError):
        return None
    # The positions 0 to n - 1 of an example have the mean (n - 1) / 2.
    return 2 * total / num_tokens + 1 if num_tokens else None
