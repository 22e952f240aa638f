"""Where the decode loop ends a row, and how prompts get their special tokens."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from random_adapter import write_random_adapter

from ray_ft.engines import GenerateRequest, TransformersEngine
from ray_ft.engines.prompts import Prompts
from ray_ft.errors import ConfigError, GenerationError, ModelError
from ray_ft.models.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def model(tiny_model_path: str) -> Any:
    return TransformersEngine().load(tiny_model_path, {})


def test_an_end_token_stops_the_answer_and_is_no_text(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = GenerateRequest("def lock", max_new_tokens=12, temperature=1.0, seed=4)
    tokens = [i for delta in model.stream(request) for i in delta.token_ids]
    num_before = 7
    end = tokens[num_before]
    assert tokens.index(end) == num_before, "the seed must give a token there that did not come before"
    monkeypatch.setattr(model._prompts, "end_ids", frozenset({end}))
    result = model.generate([request])[0]
    # the end token was generated, so it is counted, but it is not text
    assert result.text == model._prompts.decode(tokens[:num_before])
    assert (result.num_completion_tokens, result.finish_reason) == (num_before + 1, "stop")
    assert model.generate([replace(request, ignore_end=True)])[0].num_completion_tokens == 12


def test_the_end_of_a_chat_turn_ends_an_answer(model: Any, tiny_model_path: str) -> None:
    tokenizer = load_tokenizer(tiny_model_path)
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in model._prompts.end_ids


def test_the_turn_end_is_found_in_the_template_when_eos_is_another(tiny_model_path: str) -> None:
    prompts = Prompts(tiny_model_path, generation_config=None, chat_template=None)
    prompts.tokenizer.eos_token = "<|pad|>"
    ids = prompts._find_end_ids(None, prompts._rendered_turn())
    assert ids == set(prompts.tokenizer.convert_tokens_to_ids(["<|pad|>", "<|im_end|>"]))


def test_answers_in_an_adapters_own_template_end_where_that_ends_a_turn(model: Any, tmp_path: Path) -> None:
    turns = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|pad|>{% endfor %}answer:"
    (tmp_path / "chat_template.jinja").write_text(turns)
    model.take_template("own", str(tmp_path))
    pad = model._prompts.tokenizer.convert_tokens_to_ids("<|pad|>")
    assert pad in model.prompts_of("own").end_ids - model.prompts_of(None).end_ids
    model.unload_adapter("own")
    assert model.prompts_of("own") is model.prompts_of(None)


def add_bos_itself(prompts: Prompts) -> Prompts:
    """Make the tokenizer put its beginning-of-text token in front, as those of Llama do."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = prompts.tokenizer
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{tokenizer.bos_token} $A", special_tokens=[(tokenizer.bos_token, tokenizer.bos_token_id)]
    )
    return prompts


def test_no_beginning_token_is_added_where_the_template_goes_without(tiny_model_path: str) -> None:
    prompts = add_bos_itself(Prompts(tiny_model_path, None, chat_template=None))
    assert prompts._find_bos(prompts._rendered_turn()) is None


def test_the_beginning_token_is_added_once_where_the_template_spells_it(tiny_model_path: str, tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text("<|bos|>{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}")
    prompts = add_bos_itself(Prompts(tiny_model_path, None, chat_template=str(template)))
    prompts._bos = prompts._find_bos(prompts._rendered_turn())
    bos = prompts.tokenizer.bos_token_id
    rendered = prompts.encode(prompts.render([{"role": "user", "content": "Hi"}]))
    assert rendered.count(bos) == 1
    assert prompts.encode("Hi")[:1] == [bos]


def test_a_document_that_is_scored_is_content(tiny_model_path: str) -> None:
    prompts = Prompts(tiny_model_path, None, chat_template=None)
    ids = prompts.encode_content("it ends with <|im_end|> there")
    assert not set(ids) & set(prompts.tokenizer.added_tokens_decoder)
    assert prompts.decode(ids) == "it ends with <|im_end|> there"


def test_a_model_without_a_template_says_how_to_give_one(tiny_model_path: str) -> None:
    prompts = Prompts(tiny_model_path, None, chat_template=None)
    prompts.tokenizer.chat_template = None
    with pytest.raises(ModelError, match=r"model\.chat_template"):
        prompts.render([{"role": "user", "content": "Hi"}])


def test_a_template_that_refuses_the_roles_says_why(tiny_model_path: str, tmp_path: Path) -> None:
    template = tmp_path / "strict.jinja"
    template.write_text("{{ raise_exception('roles must alternate') }}")
    prompts = Prompts(tiny_model_path, None, chat_template=str(template))
    with pytest.raises(GenerationError, match="roles must alternate"):
        prompts.render([{"role": "user", "content": "Hi"}])


def test_a_template_that_cannot_be_read_is_named(tiny_model_path: str) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.jinja"):
        Prompts(tiny_model_path, None, chat_template="nowhere.jinja")


def test_a_template_that_is_no_jinja_is_refused_in_one_line(tiny_model_path: str, tmp_path: Path) -> None:
    template = tmp_path / "broken.jinja"
    template.write_text("{% for m in messages %}")
    prompts = Prompts(tiny_model_path, None, chat_template=str(template))
    with pytest.raises(GenerationError, match="chat template"):
        prompts.render([{"role": "user", "content": "Hi"}])


def test_an_empty_prompt_is_refused(model: Any) -> None:
    with pytest.raises(GenerationError, match="empty"):
        model.generate([GenerateRequest("")])


@pytest.fixture(scope="module")
def adapter(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An adapter with random weights that are not zero."""
    return write_random_adapter(tiny_model_path, tmp_path_factory.mktemp("adapters") / "x", seed=3, std=0.05)


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantised_base_and_its_adapter_score_close_to_the_whole_ones(
    tiny_model_path: str, adapter: str, quantization: Literal["nf4", "int8"]
) -> None:
    exact = TransformersEngine().load(tiny_model_path, {"x": adapter})
    rounded = TransformersEngine(quantization=quantization).load(tiny_model_path, {"x": adapter})
    text = "def release(lock):\n    return lock.release()\n"
    nats = {}
    for name in (None, "x"):
        nats[name] = rounded.negative_log_likelihood([text], adapter=name)[0]
        whole = exact.negative_log_likelihood([text], adapter=name)[0]
        assert nats[name] != whole
        assert nats[name] == pytest.approx(whole, rel=0.02)
    assert nats[None] != nats["x"]
