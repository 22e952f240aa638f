"""The copy of a tokenizer that workers load: the same, and without PyTorch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ray_ft.data.tokenization.chat import ChatEncoder
from ray_ft.data.tokenization.tokenizer_cache import load_lean, save_lean
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.rows import Example


@pytest.fixture
def tokenizer(tiny_model_path: str) -> Any:
    return load_tokenizer(tiny_model_path)


def test_a_copy_encodes_as_the_tokenizer_does(tokenizer: Any, tmp_path: Path) -> None:
    path = save_lean(tokenizer, tmp_path)
    assert path is not None
    example = Example("What is a ferry?", "A boat: <|im_end|> for 40 cars, ½ full.", "c", "d", "qa")
    found, expected = (
        ChatEncoder(t, system_prompt="Be brief.", max_seq_len=512).encode(example) for t in (load_lean(path), tokenizer)
    )
    assert found == expected


def test_another_template_has_another_path(tokenizer: Any, tmp_path: Path) -> None:
    first = save_lean(tokenizer, tmp_path)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    second = save_lean(tokenizer, tmp_path)
    assert second not in (None, first)
    assert load_lean(str(second)).chat_template == tokenizer.chat_template


def test_a_tokenizer_whose_copy_would_differ_has_none(tokenizer: Any, tmp_path: Path) -> None:
    kind = type(tokenizer)
    tokenizer.__class__ = type("Own", (kind,), {"apply_chat_template": lambda *_, **__: "not by the template"})
    assert save_lean(tokenizer, tmp_path) is None


def test_the_copy_is_loaded_without_pytorch(tokenizer: Any, tmp_path: Path) -> None:
    program = (
        "import sys; from ray_ft.data.tokenization.tokenizer_cache import load_lean;"
        " print(len(load_lean(sys.argv[1])('a').input_ids), 'torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(save_lean(tokenizer, tmp_path))], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [str(len(tokenizer("a").input_ids)), "False"]
