"""Every command, configuration and piece of code in README and docs is held to the code that is there."""

import runpy
from pathlib import Path

import pytest
from document_blocks import REPOSITORY, Block, blocks, check_block, documents, links

BLOCKS = [block for path in documents() for block in blocks(path)]
PAGES = runpy.run_path(str(REPOSITORY / "scripts" / "reference.py"))["pages"]()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.path}:{block.line}")
def test_a_block_says_what_works(block: Block) -> None:
    check_block(block)


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_and_named_paths_lead_somewhere(path: Path) -> None:
    assert [target for target in links(path) if not Path(target).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = set(links(REPOSITORY / "docs" / "README.md"))
    pages = {str(path) for path in REPOSITORY.glob("docs/*/*.md")}
    assert pages - index == set()


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_scripts_reference_writes(name: str) -> None:
    assert (REPOSITORY / "docs" / "reference" / name).read_text() == PAGES[name], "run scripts/reference"


# --- the checks themselves: each sample has one mistake ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("console", "$ ray-ft prepair configs/quickstart.yaml", "invalid choice: 'prepair'"),
        ("console", "$ ray-ft train configs/quickstart.yaml --resumee", "unrecognized arguments: --resumee"),
        ("console", "$ ray-ft train configs/quikstart.yaml", "configs/quikstart.yaml does not exist"),
        ("console", "$ ray-ft plan configs/quickstart.yaml plan.gqu=T4", "Did you mean 'gpu'"),
        ("console", "$ ray-ft show && scripts/tset", "scripts/tset is no executable file"),
        ("console", "$ FAST=1 scripts/chekc", "scripts/chekc is no executable file"),
        ("console", "$ kubectl apply -f cluster/kuberay/rayjobb.yaml", "cluster/kuberay/rayjobb.yaml does not exist"),
        ("console", "$ rayft show", "unknown program 'rayft'"),
        ("console", "$ curl -s http://127.0.0.1:8000/v1/chat/completion", "no such route /v1/chat/completion"),
        ("console", "$ curl -s --date http://127.0.0.1:8000/health", "unknown curl flag --date"),
        ("console", "$ curl -s http://h/v1/completions -d '{\"model\": }'", "Expecting value"),
        ("console", "ray-ft show", "no line starts with"),
        ("yaml", "train:\n  lerning_rate: 1e-4\n", "Did you mean 'learning_rate'?"),
        ("yaml", "trian:\n  num_epochs: 1\n", "trian: no such key. Did you mean 'train'?"),
        ("yaml", "run_name: handbook\n", "model.name is required"),
        ("yaml", "- 1\n", "a mapping is expected"),
        ("python", "from ray_ft import trian", "ray_ft has no 'trian'"),
        ("python", "import ray_ft\nray_ft.prepair(config)", "ray_ft has no 'prepair'"),
        ("python", "import ray_ft\nray_ft.train(config, resum=True)", "train takes no resum"),
        ("python", "from ray_ft import plan as p\np(config, hardwear=None)", "plan takes no hardwear"),
        ("python", "for", "does not compile"),
        ("json", "{'a': 1}", "not JSON"),
        ("bash", "true", "language 'bash'"),
        ("", "true", "language ''"),
    ],
)
def test_a_mistake_in_a_block_is_found(language: str, text: str, message: str) -> None:
    with pytest.raises((AssertionError, ValueError)) as caught:
        check_block(Block("sample.md", 1, language, text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("console", "$ ray-ft plan configs/quickstart.yaml plan.gpu=T4 --json\n{...}"),
        ("console", "$ ray-ft submit --stop JOB --address http://head:8265"),
        ("console", "$ ray-ft train handbook.yaml train.num_epochs=2"),
        ("console", "$ RAY_FT_VENV=/tmp/v scripts/test tests/unit -k packing"),
        ("console", '$ curl -s http://h:8000/v1/completions \\\n  -d \'{"model": "m", "prompt": "p"}\''),
        ("yaml", "train:\n  strategy: {name: lora, r: 8}\n"),
        ("python", "import ray_ft\nray_ft.train(ray_ft.load_config('c.yaml', ['seed=1']), resume=True)"),
        ("json", '{"a": 1}\n{"a": 2}\n'),
    ],
)
def test_a_block_without_mistake_passes(language: str, text: str) -> None:
    check_block(Block("sample.md", 1, language, text))
