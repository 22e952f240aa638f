"""data-juicer over the files of a list, in the interpreter of its own environment; scripts/bench_data rivals starts it.

    python rival_data_juicer.py FILES.json TOKENIZER_FOLDER FOLDER PROCESSES

Its operators for near copies, addresses and tokens, one process each, as its documentation has them. It counts the
tokens, and writes none; it reads JSON lines, so that the files become these first.
"""

import json
import subprocess
import sys
from pathlib import Path

BANDS, ROWS = 21, 6  # those of ray_ft at similarity 0.8
WORDS = 5


def main() -> int:
    """Write the lines and the configuration, and run data-juicer's own command."""
    files, tokenizer, folder, processes = sys.argv[1:]
    home = Path(folder)
    home.mkdir(parents=True)
    with (home / "files.jsonl").open("w", encoding="utf-8") as lines:
        for file in json.loads(Path(files).read_text()):
            text = Path(file).read_text(encoding="utf-8", errors="replace")
            lines.write(json.dumps({"text": text, "id": file}) + "\n")
    near_copies = {
        "tokenization": "space", "window_size": WORDS, "lowercase": True, "ignore_pattern": r"\p{P}",
        "num_permutations": 128, "jaccard_threshold": 0.8, "num_bands": BANDS, "num_rows_per_band": ROWS,
    }  # fmt: skip
    config = {
        "project_name": "rival", "dataset_path": str(home / "files.jsonl"), "np": int(processes),
        "export_path": str(home / "kept" / "kept.jsonl"), "open_tracer": False, "use_cache": False,
        "work_dir": str(home / "work"), "ds_cache_dir": str(home / "cache"), "temp_dir": str(home / "temp"),
        "process": [
            {"document_minhash_deduplicator": near_copies},
            {"clean_email_mapper": {}},
            {"clean_ip_mapper": {}},
            {"token_num_filter": {"hf_tokenizer": tokenizer, "min_num": 0}},
        ],
    }  # fmt: skip
    (home / "config.yaml").write_text(json.dumps(config))  # which is YAML too
    command = Path(sys.executable).with_name("dj-process")
    return subprocess.run([str(command), "--config", str(home / "config.yaml")], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
