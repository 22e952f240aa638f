"""Exported folders load in plain transformers and PEFT and answer as tuned; the card tells what the run folder has."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stacked import stacked_logits

from ray_ft.artifacts import Contrast, Estimate, Memory, Plan, Report, Score, TrainingSet, TunedModel
from ray_ft.errors import ConfigError, ModelError
from ray_ft.models.added_tokens import added_token_ids, with_added_tokens
from ray_ft.models.folder import base_digest
from ray_ft.models.tokenizer import load_tokenizer, tokenizer_digest
from ray_ft.strategies import Full, LoRA, QLoRA, Strategy
from ray_ft.training.export.model_card import RunFacts
from ray_ft.training.export.model_folder import cast_weights, export_model
from ray_ft.training.tuned_weights import write_adapter

pytestmark = pytest.mark.filterwarnings("ignore")

IDS = [[5, 9, 200, 7, 31]]


def load(path: Any, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(path), **options).eval()


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor(IDS)).logits.float()


def make_tuned(strategy: Strategy, base_path: str, folder: Path, *, name: str = "builtin:tiny") -> TunedModel:
    """A tuned model as training leaves it: weights moved away from where they started, at random."""
    import torch

    torch.manual_seed(0)
    path = folder / ("adapter" if strategy.is_adapter else "model")
    if isinstance(strategy, LoRA):
        model: Any = strategy.add_adapters(load(base_path), seed=0, added_tokens=added_token_ids(base_path))
    else:
        model = load(base_path)
    weights = {k: p.detach() for k, p in model.named_parameters() if p.requires_grad}
    for value in weights.values():
        value.add_(torch.randn_like(value) * 0.05)
    digests = {"base_digest": base_digest(base_path), "tokenizer_digest": tokenizer_digest(base_path)}
    if strategy.is_adapter:
        write_adapter(model, weights, path, {"base_model": name, **digests})
    else:
        model.save_pretrained(path)
    return TunedModel(
        base_model=name, base_path=base_path, base_digest=digests["base_digest"], path=str(path),
        is_adapter=strategy.is_adapter, strategy=strategy, metrics={"loss": 1.25, "validation_loss": 1.5}, steps=6,
        fingerprint="f",
    )  # fmt: skip


VARIANTS = {
    "lora": LoRA(r=4),
    "dora": LoRA(r=4, use_dora=True),
    "rslora": LoRA(r=4, use_rslora=True, target_modules=("q_proj", "down_proj")),
    "embeddings": LoRA(r=4, train_embeddings=True),
    "qlora": QLoRA(r=4),
    "head": LoRA(r=4, target_modules=("q_proj", "lm_head")),  # the tiny model's head is tied to its embedding
}


@pytest.mark.parametrize("name", VARIANTS)
def test_an_adapter_loads_in_plain_peft_and_merged_in_plain_transformers_with_the_same_logits(
    name: str, tiny_model_path: str, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel

    tuned = make_tuned(VARIANTS[name], tiny_model_path, tmp_path)
    beside = logits(PeftModel.from_pretrained(load(tiny_model_path), export_model(tuned, path=str(tmp_path / "plain"))))
    merged_path = export_model(tuned, path=str(tmp_path / "merged"), merge=True)
    # The same sum in another order: fp32 rounding over four layers.
    torch.testing.assert_close(logits(load(merged_path)), beside, atol=1e-4, rtol=1e-4)
    assert float((beside - logits(load(tiny_model_path))).abs().max()) > 0.1
    assert not (merged_path / "adapter_config.json").exists()
    modes = {file.stat().st_mode for folder in (merged_path, Path(tuned.path)) for file in folder.iterdir()}
    assert len(modes) == 1  # weights may be read by whoever may read what is beside them


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_exported_is_served_by_our_own_engine(name: str, tiny_model_path: str, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel

    tuned = make_tuned(VARIANTS[name], tiny_model_path, tmp_path)
    path = str(export_model(tuned, path=str(tmp_path / "plain")))
    ids = [i for row in IDS for i in row]
    mine, plain = stacked_logits(load(tiny_model_path), tiny_model_path, ids, path, None)
    beside = logits(PeftModel.from_pretrained(load(tiny_model_path), path))
    torch.testing.assert_close(mine, beside[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(plain, logits(load(tiny_model_path))[0], atol=1e-5, rtol=1e-5)


def test_added_tokens_go_with_the_adapter_to_the_base_as_it_came(tiny_model_path: str, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel

    base_path = with_added_tokens(tiny_model_path, ["<ticket>", "gearboxd"], output_dir=tmp_path)
    tuned = make_tuned(LoRA(r=4), base_path, tmp_path, name="company/base")
    path = export_model(tuned, path=str(tmp_path / "plain"))
    tokenizer: Any = load_tokenizer(path)
    ids = torch.tensor([tokenizer.encode("open <ticket> for gearboxd", add_special_tokens=False)])
    assert {4096, 4097} <= set(ids[0].tolist())

    base = load(tiny_model_path)
    base.resize_token_embeddings(len(tokenizer))  # as the card says
    merged = load(export_model(tuned, path=str(tmp_path / "merged"), merge=True))
    with torch.no_grad():
        beside = PeftModel.from_pretrained(base, path)(ids).logits
        torch.testing.assert_close(merged(ids).logits, beside, atol=1e-4, rtol=1e-4)
    card = (path / "README.md").read_text()
    assert "base.resize_token_embeddings(len(tokenizer))" in card
    assert "2 more tokens than the base's: <ticket>, gearboxd." in card


@pytest.mark.parametrize(("dtype", "name"), [("bf16", "bfloat16"), ("fp16", "float16"), ("fp32", "float32")])
def test_whole_weights_are_written_in_the_dtype_that_was_asked_for(
    dtype: Any, name: str, tiny_model_path: str, tmp_path: Path
) -> None:
    import torch

    tuned = make_tuned(LoRA(r=4), tiny_model_path, tmp_path)
    model = load(export_model(tuned, path=str(tmp_path / "out"), merge=True, dtype=dtype), dtype="auto")
    assert model.dtype == getattr(torch, name)
    exact = logits(load(export_model(tuned, path=str(tmp_path / "exact"), merge=True, dtype="fp32")))
    # bf16 has 8 bits: weights off by 1 in 256 at most.
    assert float((logits(model) - exact).abs().max()) < 0.05 * float(exact.abs().max())


def test_what_was_trained_on_gpus_is_exported_in_bf16(tiny_model_path: str, tmp_path: Path) -> None:
    import torch

    tuned = make_tuned(Full(), tiny_model_path, tmp_path)
    run = replace(facts(tmp_path), plan=replace(PLAN, gpu="H200"))
    assert load(export_model(tuned, path=str(tmp_path / "gpu"), run=run), dtype="auto").dtype == torch.bfloat16
    run = replace(run, plan=PLAN)
    assert load(export_model(tuned, path=str(tmp_path / "cpu"), run=run), dtype="auto").dtype == torch.float32


def test_casting_keeps_the_account_of_several_files(tiny_model_path: str, tmp_path: Path) -> None:
    import torch

    load(tiny_model_path).save_pretrained(tmp_path, max_shard_size="2MB")
    before = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    cast_weights(tmp_path, "bf16")
    after = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert after["weight_map"] == before["weight_map"]
    assert after["metadata"]["total_size"] == before["metadata"]["total_size"] // 2
    assert load(tmp_path, dtype="auto").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("strategy", "options", "says"),
    [
        (Full(), {"merge": True}, "no adapter to merge"),
        (LoRA(r=4), {"dtype": "bf16"}, "an adapter keeps the dtype"),
    ],
)
def test_what_makes_no_sense_is_refused(
    strategy: Strategy, options: dict[str, Any], says: str, tiny_model_path: str, tmp_path: Path
) -> None:
    tuned = make_tuned(strategy, tiny_model_path, tmp_path)
    with pytest.raises(ConfigError, match=says):
        export_model(tuned, path=str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()


def test_nothing_is_merged_into_a_few_bits(tiny_model_path: str, tmp_path: Path) -> None:
    import torch

    quantised = tmp_path / "quantised"
    load(tiny_model_path, quantization_config=QLoRA().quantization(torch.float32)).save_pretrained(quantised)
    load_tokenizer(tiny_model_path).save_pretrained(quantised)
    tuned = make_tuned(LoRA(r=4), tiny_model_path, tmp_path)
    (Path(tuned.path) / "ray_ft_base.json").unlink()  # else the digest already says that the base is another one
    with pytest.raises(ModelError, match="is quantised, and merging into a few bits would lose"):
        export_model(replace(tuned, base_path=str(quantised)), path=str(tmp_path / "out"), merge=True)


@pytest.mark.parametrize("merge", [False, True])
def test_generation_ends_where_the_template_ends_a_turn(merge: bool, tiny_model_path: str, tmp_path: Path) -> None:
    from transformers import GenerationConfig

    tuned = make_tuned(LoRA(r=4), tiny_model_path, tmp_path)
    path = export_model(tuned, path=str(tmp_path / "out"), merge=merge, chat_template=_template(tmp_path))
    tokenizer: Any = load_tokenizer(path)
    config = GenerationConfig.from_pretrained(path)
    # This template ends a turn with the beginning-of-text token; the tokenizer's own end stays an end too.
    assert config.eos_token_id == [tokenizer.bos_token_id, tokenizer.eos_token_id]
    assert config.pad_token_id == tokenizer.pad_token_id == 0
    assert "Q: " in tokenizer.chat_template


def _template(folder: Path) -> str:
    path = folder / "template.jinja"
    path.write_text(
        "{% for m in messages %}{{ 'Q: ' if m.role == 'user' else 'A: ' }}{{ m.content }}<|bos|>{% endfor %}"
    )
    return str(path)


# --- the card ---------------------------------------------------------------------------------------------------------


MEMORY = Memory(0, 0, 0, 0, 0, 0, 0, total=12 * 2**30, phase="loss")
ESTIMATE = Estimate(LoRA(), 1, 2, 2, False, MEMORY, 0, 2000.0, hours=0.5, cost=1.0, fits=True)
PLAN = Plan("builtin:tiny", "cpu", LoRA(zero_stage=0, offload="none"), 1, 2, 2, False, ESTIMATE)
SCORE = Score("tuned", "token_f1", 0.5, 0.25, 0.75, num_items=40, stratum="held_out")
CONTRAST = Contrast(
    "token_f1", "tuned", "base", 0.25, 0.125, 0.375, 0.01, 40, "better", stratum="held_out", primary=True
)  # fmt: skip


def facts(folder: Path) -> RunFacts:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data" / "examples.parquet").mkdir(parents=True)
    rows = {"recipe": ["qa", "qa", "heading", "qa"], "split": ["train", "train", "train", "test"]}
    pq.write_table(pa.table(rows), folder / "data" / "examples.parquet" / "part-0.parquet")
    lines = [
        {"step": s, "loss": 1.0, "tokens_per_second": 1000.0 + s, "seconds_per_step": 10.0, "peak_memory_gib": 11.5}
        for s in (2, 4, 6)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    training_set = TrainingSet(
        path=str(folder / "data"), recipes=("qa", "heading"), num_documents={"train": 1200, "test": 3},
        num_examples={"train": 3, "test": 1}, num_rows={"train": 2}, num_tokens={"train": 100},
        num_target_tokens={"train": 40}, num_questions=1, files={}, max_seq_len=64, tokenizer_digest="",
        template_digest="", data_digest="d1g357", fingerprint="",
    )  # fmt: skip
    report = Report("tuned", (SCORE,), (CONTRAST,), 40, "", "", "", notes=("40 of 40 questions were made by rule.",))
    return RunFacts(
        name="handbook", train={"learning_rate": None, "num_epochs": 3.0, "trackers": [], "hang_timeout_s": 9}, seed=7,
        training_set=training_set, sources="50urce5 (2 files, 10 bytes)", plan=PLAN, report=report,
    )  # fmt: skip


def test_the_card_s_metadata_is_what_the_hub_reads(tiny_model_path: str, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    tuned = make_tuned(LoRA(r=4), tiny_model_path, tmp_path, name="company/base")
    path = export_model(tuned, path=str(tmp_path / "out"), run=facts(tmp_path))
    about = ModelCard.load(path / "README.md").data.to_dict()
    assert about["base_model"] == "company/base"
    assert about["library_name"] == "peft"
    assert about["tags"] == ["ray_ft", "lora"]
    assert "license" not in about
    merged = export_model(tuned, path=str(tmp_path / "merged"), run=facts(tmp_path / "again"), merge=True)
    assert ModelCard.load(merged / "README.md").data.to_dict()["library_name"] == "transformers"


def test_the_card_tells_data_plan_training_and_evaluation(tiny_model_path: str, tmp_path: Path) -> None:
    tuned = make_tuned(LoRA(r=4), tiny_model_path, tmp_path)
    card = (export_model(tuned, path=str(tmp_path / "out"), run=facts(tmp_path)) / "README.md").read_text()
    for line in (
        "| documents | 1,200 train, 3 test |",
        "| heading | 1 | 0 | 0 |",
        "| qa | 2 | 0 | 1 |",
        "| digest of the sources | 50urce5 (2 files, 10 bytes) |",
        "| digest of the packed rows | d1g357 |",
        "| strategy | lora, ZeRO-0, offload none |",
        "| tokens per second (predicted with padding) | 2,000 | 1,004 in the middle |",
        "| time | 30 min 0 s | 1 min 0 s |",  # 6 steps of 10 s
        "| peak memory of a worker | 12.0 GiB | 11.5 GiB |",
        "| learning_rate | 0.0002 |",  # LoRA's own, since the config names none
        "| seed | 7 |",
        "| validation loss | 1.5 |",
        "| held-out | tuned | token f1 | 0.500 | 0.250 to 0.750 | 40 |",
        "| held-out | tuned against base | token f1 | +0.250 | +0.125 to +0.375 | better |",
        "- 40 of 40 questions were made by rule.",
        "- The licence of the base is not known here; it holds for this model too.",
        "- No data was held out for a validation loss.",
    ):
        assert line in card.splitlines(), line
    for noise in ("hang_timeout_s", "is_adapter", "default_learning_rate", "{'"):
        assert noise not in card


def test_the_card_s_own_lines_ask_the_merged_model(
    tiny_model_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = make_tuned(LoRA(r=4), tiny_model_path, tmp_path)
    monkeypatch.chdir(export_model(tuned, path=str(tmp_path / "out"), merge=True))
    code = Path("README.md").read_text().split("```python")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace("max_new_tokens=200", "max_new_tokens=4"), names)
    assert 1 <= names["answer"].shape[1] - names["inputs"]["input_ids"].shape[1] <= 4
    assert capsys.readouterr().out.endswith("\n")


def test_a_card_without_a_report_or_a_training_set_says_so(tiny_model_path: str, tmp_path: Path) -> None:
    tuned = make_tuned(QLoRA(r=4), tiny_model_path, tmp_path)
    card = (export_model(tuned, path=str(tmp_path / "out"), merge=True) / "README.md").read_text()
    for sentence in (
        "No evaluation of this model is in the run folder: nothing is claimed about its answers.",
        "The account of the training data is no longer in the run folder.",
        "The plan is no longer in the run folder.",
        "- The adapter was trained beside a quantised base and merged into the unquantised: they differ a little.",
    ):
        assert sentence in card.splitlines()


def test_a_licence_that_the_base_names_is_passed_on(tiny_model_path: str, tmp_path: Path) -> None:
    import shutil

    base = tmp_path / "base"
    shutil.copytree(tiny_model_path, base)
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\n")
    card = (export_model(make_tuned(Full(), str(base), tmp_path), path=str(tmp_path / "out")) / "README.md").read_text()
    assert "license: apache-2.0" in card.split("---")[1]
    assert "licence of the base is not known" not in card
