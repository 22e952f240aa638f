"""Makes the models that `builtin:NAME` stands for, for trying the pipeline and not for use; `fetched` has smollm2.

They are small Llamas with a byte-level BPE tokenizer, pre-trained for a minute on the docstrings and source of the
Python standard library, which every machine has.
"""

import ast
import hashlib
import json
import logging
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft import progress
from ray_ft.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger("ray_ft")

BUILTIN_PREFIX = "builtin:"

BUILTIN_CONFIGS: dict[str, dict[str, object]] = {
    "tiny": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 4096,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
    },
}
"""config.json of the models that `builtin:NAME` makes on the spot."""

SMOLLM2 = "builtin:smollm2"
SMOLLM2_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""A real model, small enough for a CPU, that is fetched and not made."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENIZER_DOCUMENTS = 120
PRETRAIN_STEPS = 200
PRETRAIN_BATCH = 8  # rows of PRETRAIN_TOKENS tokens
PRETRAIN_TOKENS = 256


def build_builtin(name: str, folder: str | Path, *, pretrain_steps: int = PRETRAIN_STEPS) -> Path:
    """Make a builtin model below `folder` unless it is there; returns its own folder.

    Tokenizer and weights depend on the Python version's standard library, on torch, and on a fixed seed.
    """
    recipe = [BUILTIN_CONFIGS[name], CHAT_TEMPLATE, pretrain_steps, PRETRAIN_BATCH, PRETRAIN_TOKENS]
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:8]
    target = Path(folder).resolve() / f"{name}-{key}"
    if (target / "config.json").is_file():
        return target
    if pretrain_steps:
        log.info("making %s in %s (a minute or two, once)", prefixed(name), target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    except OSError as error:
        raise ConfigError(f"output_dir: cannot write to {folder}: {error.strerror or error}") from None
    try:
        documents = list(islice(_standard_library(), None if pretrain_steps else TOKENIZER_DOCUMENTS))
        tokenizer = _train_tokenizer(documents, int(str(BUILTIN_CONFIGS[name]["vocab_size"])))
        tokenizer.save_pretrained(partial)
        _train_weights(name, tokenizer, documents, steps=pretrain_steps).save_pretrained(partial)
        partial.chmod(0o755)  # mkdtemp makes it private
        try:
            partial.rename(target)
        except OSError:  # another process was first; its copy is as good
            if not (target / "config.json").is_file():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def prefixed(name: str) -> str:
    return BUILTIN_PREFIX + name


def no_such_builtin(name: str) -> ModelError:
    """What to say of a name that no builtin model has."""
    known = ", ".join([*map(prefixed, BUILTIN_CONFIGS), SMOLLM2])
    return ModelError(f"model.name: no such builtin model {name!r}; choose one of {known}")


def _standard_library() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Source of standard-library modules, with (question, answer) pairs from their public functions' docstrings."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.glob("*.py")) + sorted(root.glob("*/__init__.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        pairs = []
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                docstring = ast.get_docstring(node)
                if docstring:
                    pairs.append((f"What does `{node.name}` do?", docstring.split("\n\n")[0]))
        yield text, pairs


def _train_tokenizer(documents: list[tuple[str, list[tuple[str, str]]]], vocab_size: int) -> "PreTrainedTokenizerFast":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|pad|>", "<|bos|>", "<|im_start|>", "<|im_end|>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((text for text, _ in documents[:TOKENIZER_DOCUMENTS]), trainer)
    assert bpe.get_vocab_size() == vocab_size, "the standard library is too small for this vocabulary"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", bos_token="<|bos|>", eos_token="<|im_end|>",
        model_max_length=2048, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _train_weights(name: str, tokenizer: Any, documents: list[tuple[str, list[tuple[str, str]]]], *, steps: int) -> Any:
    """Causal language modelling on half source text, half chat-formatted question and answer pairs."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values = {k: v for k, v in BUILTIN_CONFIGS[name].items() if k not in ("architectures", "model_type")}
        config = LlamaConfig(
            **{k: v for k, v in values.items() if k != "rope_theta"},
            rope_parameters={"rope_type": "default", "rope_theta": values["rope_theta"]},
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            dtype="float32",
        )
        model = LlamaForCausalLM(config)
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        if steps:
            rows = _pretraining_rows(tokenizer, documents, num_rows=steps * PRETRAIN_BATCH)
            _pretrain(model, rows)
    return model.eval()


def _pretraining_rows(tokenizer: Any, documents: list[tuple[str, list[tuple[str, str]]]], *, num_rows: int) -> Any:
    import torch

    encode = tokenizer.backend_tokenizer.encode
    wanted = num_rows * PRETRAIN_TOKENS // 2
    source: list[int] = []
    for text, _ in documents:
        source += [tokenizer.bos_token_id, *encode(text[:20_000]).ids]
        if len(source) >= wanted:
            break
    chat: list[int] = []
    for question, answer in (pair for _, pairs in documents for pair in pairs):
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        chat += encode(tokenizer.apply_chat_template(messages, tokenize=False)).ids
        if len(chat) >= wanted:
            break
    rows = []
    for stream in (source, chat):
        whole = torch.tensor(stream[: len(stream) // PRETRAIN_TOKENS * PRETRAIN_TOKENS]).view(-1, PRETRAIN_TOKENS)
        repeats = -(-(num_rows // 2) // len(whole))
        rows.append(whole.repeat(repeats, 1)[: num_rows // 2])
    both = torch.cat(rows)
    return both[torch.randperm(len(both))]


def _pretrain(model: Any, rows: Any) -> None:
    import torch

    steps = len(rows) // PRETRAIN_BATCH
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.05)
    model.train()
    with progress.task("make", "steps", steps) as task:
        for batch in rows.view(steps, PRETRAIN_BATCH, PRETRAIN_TOKENS):
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            task.advance()
        optimizer.zero_grad()
