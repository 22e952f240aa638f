"""Finds the base model's folder: on the hub, on disk, or made on the spot for `builtin:NAME`; tells two bases apart.

The builtin models are small Llamas with a byte-level BPE tokenizer, pre-trained for a minute on the docstrings and
source of the Python standard library, which every machine has. They are for trying the pipeline, not for use.
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

from ray_ft.errors import ConfigError, ModelError, first_line
from ray_ft.models.shape import BUILTIN_CONFIGS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger("ray_ft")

BUILTIN_PREFIX = "builtin:"
TOKENIZER_FILES = ("tokenizer*", "*.model", "vocab*", "merges*", "special_tokens*", "chat_template*", "config.json")
VOCABULARY_FILES = ("tokenizer*", "vocab*", "*.model", "*.tiktoken")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENIZER_DOCUMENTS = 120
PRETRAIN_STEPS = 200
PRETRAIN_BATCH = 8  # rows of PRETRAIN_TOKENS tokens
PRETRAIN_TOKENS = 256


def resolve_model(
    name: str, *, output_dir: str | Path, revision: str | None = None, tokenizer_only: bool = False
) -> str:
    """Local folder of a model; downloads or builds it when it is not there yet.

    A builtin model is built once, below `output_dir`, so that every worker that sees the run folder loads the same
    weights.
    Raises ModelError when there is no such model or the hub cannot be reached.
    """
    if name.startswith(BUILTIN_PREFIX):
        builtin = name.removeprefix(BUILTIN_PREFIX)
        if builtin not in BUILTIN_CONFIGS:
            raise ModelError(
                f"no such builtin model {name!r}; choose one of {', '.join(map(_prefixed, BUILTIN_CONFIGS))}"
            )
        return str(build_builtin(builtin, Path(output_dir) / "builtin"))
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"model.name: {name} is a folder without config.json; give a folder in Hugging Face format"
            )
        return str(path.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"model.name: no such folder {name}")
    return _download(name, revision, tokenizer_only)


def load_tokenizer(model_path: str | Path, chat_template: str | None = None) -> "PreTrainedTokenizerFast":
    """The model's tokenizer, with the chat template of a file in place of its own when one is given."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(model_path), local_files_only=True)
    except (OSError, ValueError) as error:
        there = any(file for pattern in VOCABULARY_FILES for file in Path(model_path).glob(pattern))
        reason = first_line(error) if there else "the folder has no tokenizer.json, nor the file of another tokenizer"
        raise ModelError(f"{model_path}: no tokenizer can be loaded: {reason}") from None
    if chat_template is not None:
        try:
            tokenizer.chat_template = Path(chat_template).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"model.chat_template: cannot read {chat_template}: {error.strerror}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenizer_digest(model_path: str | Path) -> str:
    """First 16 hex digits of the SHA-256 of tokenizer.json: equal text gives equal ids under equal digests."""
    path = Path(model_path) / "tokenizer.json"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    backend = load_tokenizer(model_path).backend_tokenizer.to_str()
    return hashlib.sha256(backend.encode()).hexdigest()[:16]


def template_digest(tokenizer: Any) -> str:
    """First 16 hex digits of the SHA-256 of the chat template in use."""
    return hashlib.sha256(str(tokenizer.chat_template or "").encode()).hexdigest()[:16]


def template_file_digest(model_path: str | Path, chat_template: str | None) -> str:
    """First 16 hex digits of the SHA-256 of the chat template's file: the given one, else where the model keeps its."""
    own = [Path(model_path) / name for name in ("chat_template.jinja", "tokenizer_config.json")]
    files = [Path(chat_template)] if chat_template is not None else own
    return hashlib.sha256(b"\0".join(f.read_bytes() for f in files if f.is_file())).hexdigest()[:16]


def end_of_turn_id(tokenizer: Any) -> int | None:
    """Id of the special token with which the chat template ends an answer, else end-of-text; None where neither is."""
    question, answer = "ray-ft-question", "ray-ft-answer"
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    except Exception:  # no template, or one that may raise anything on a shape it does not like
        text = ""
    specials = {str(t): i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    behind = text.rpartition(answer)[2] if answer in text else ""
    found = [(place, i) for t, i in specials.items() if (place := behind.find(t)) >= 0]
    end = min(found)[1] if found else tokenizer.eos_token_id
    return None if end is None else int(end)


def base_digest(model_path: str | Path) -> str:
    """Tells two bases apart without reading all of their weights.

    Covers config.json, and of every weight file its name, size, first and last MiB (safetensors keeps its header,
    with every tensor's name, shape and place, at the front).
    """
    folder = Path(model_path)
    hasher = hashlib.sha256()
    config = json.loads((folder / "config.json").read_text())
    for volatile in ("transformers_version", "_name_or_path"):
        config.pop(volatile, None)
    hasher.update(json.dumps(config, sort_keys=True).encode())
    for file in sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")):
        size = file.stat().st_size
        hasher.update(f"{file.name}:{size}".encode())
        with file.open("rb") as stream:
            hasher.update(stream.read(2**20))
            stream.seek(max(size - 2**20, 0))
            hasher.update(stream.read(2**20))
    return hasher.hexdigest()[:16]


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
        log.info("making %s in %s (a minute or two, once)", _prefixed(name), target)
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


def _prefixed(name: str) -> str:
    return BUILTIN_PREFIX + name


def _download(name: str, revision: str | None, tokenizer_only: bool) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    patterns = list(TOKENIZER_FILES) if tokenizer_only else [*TOKENIZER_FILES, "*.json", "*.safetensors", "*.jinja"]
    try:
        return str(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except GatedRepoError:
        raise ModelError(f"model.name: {name} is gated; accept its terms on the hub and set HF_TOKEN") from None
    except RevisionNotFoundError:
        raise ModelError(f"model.revision: {name} has no revision {revision!r}") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelError(f"model.name: no model {name!r} on the hub, and no such folder") from None
    except Exception:  # offline: the hub's client raises errors of whichever HTTP library it uses
        raise ModelError(
            f"model.name: {name!r} is no folder here, not in the local cache, and the hub cannot be reached; "
            "give a local folder, or builtin:tiny to try the pipeline"
        ) from None


# --- builtin models ---------------------------------------------------------------------------------------------------


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
    for batch in rows.view(steps, PRETRAIN_BATCH, PRETRAIN_TOKENS):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
