"""Makes the run beside this file: a base, documents, and what the command line writes from them.

It asks for nothing but the command line, so it works with any version: `python make.py FOLDER` fills a new folder.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PLACEHOLDER = "@RUN@"  # stands for the folder in every text file
VERBS = ("prepare", "plan", "train", "evaluate")
NOUNS = ("invoices", "contracts", "tickets", "drawings", "letters", "orders", "maps", "permits")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GUIDE = """# {title}Base

{title}Base is a service that keeps the {noun} of a company in order.

## Install

Run `{command} install` on the head node. It listens on port {port} and needs {memory} GiB of memory.

## Back up

Run `{command} backup --to FOLDER` every night. A backup of {noun} is kept for {days} days.
"""
CONFIG = {
    "run_name": "old",
    "output_dir": f"{PLACEHOLDER}/runs",
    "model": {"name": f"{PLACEHOLDER}/base", "max_seq_len": 256},
    "data": {
        "sources": [f"{PLACEHOLDER}/docs"],
        "recipes": ["qa", {"name": "heading", "weight": 0.5}],
        "validation_fraction": 0.15,
        "test_fraction": 0.25,
    },
    "train": {
        "strategy": {"name": "lora", "r": 4},
        "max_steps": 6,
        "learning_rate": 0.03,  # so that six steps on random weights change answers
        "global_batch_size": 2,
        "checkpoint_every": 3,
        "eval_every": 3,
        "num_workers": 1,
        "trackers": [],
    },
    "evaluation": {"num_questions": 6, "max_new_tokens": 8, "num_bootstrap": 200},
}


def main(folder: Path) -> None:
    """Work where no path is worth keeping, then copy what was written with the path taken out."""
    with tempfile.TemporaryDirectory(prefix="run-") as temporary:
        work = Path(temporary).resolve()
        for name, text in documents().items():
            (work / "docs").mkdir(exist_ok=True)
            (work / "docs" / name).write_text(text)
        make_base(work / "base", list(documents().values()))
        (work / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False).replace(PLACEHOLDER, str(work)))
        for verb in VERBS:
            subprocess.run(
                [sys.executable, "-m", "ray_ft", verb, "config.yaml"],
                cwd=work,
                env=os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH", str(Path.cwd()))},
                check=True,
            )
        for name in ("plan.html", ".train.lock"):  # a page that nothing reads, and the name of a process
            (work / "runs" / "old" / name).unlink(missing_ok=True)
        replace_in_texts(work, str(work), PLACEHOLDER)
        shutil.copytree(work, folder, dirs_exist_ok=True)


def documents() -> dict[str, str]:
    """File name and text of every document."""
    return {
        f"{noun}.md": GUIDE.format(
            title=noun.title(), noun=noun, command=f"{noun[:3]}ctl", port=7000 + i, memory=2 + i, days=10 + i
        )
        for i, noun in enumerate(NOUNS)
    }


def make_base(folder: Path, texts: list[str]) -> None:
    """A Llama of two layers with random weights, and a tokenizer of 512 entries trained on the documents."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|bos|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=special[0], bos_token=special[1], eos_token=special[3], model_max_length=512
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, dtype="float32",
        pad_token_id=0, bos_token_id=1, eos_token_id=3,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)


def replace_in_texts(folder: Path, old: str, new: str) -> None:
    """Replace in every text file; refuse a file that holds the path among bytes that are no text."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        if old.encode() in raw:
            path.write_text(raw.decode("utf-8").replace(old, new), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
