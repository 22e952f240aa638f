"""Fenced blocks of Markdown documents, and one check per language that raises AssertionError with what is wrong."""

import ast
import contextlib
import importlib
import inspect
import io
import json
import os
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from markdown_it import MarkdownIt
from omegaconf import OmegaConf

from ray_ft.cli import build_parser
from ray_ft.config import load_config, parse_config
from ray_ft.errors import ConfigError
from ray_ft.serving.access.keys import load_keys

REPOSITORY = Path(__file__).parents[2]
ROUTES = (
    "/health", "/ready", "/metrics", "/v1/models", "/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize",
    "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/adapters", "/v1/compare", "/v1/experiments", "/v1/feedback",
)  # fmt: skip
CURL_FLAGS = {"-s": 0, "-N": 0, "-f": 0, "-X": 1, "-H": 1, "-d": 1}  # flag: number of values
PROGRAMS = ("base64", "cd", "docker", "git", "kubectl", "pip", "ray", "tensorboard")  # looked at for paths only
MINIMAL = {
    "run_name": "any",
    "model": {"name": "builtin:tiny"},
    "data": {"sources": ["docs"], "recipes": ["paragraph"]},
}


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is 1-based."""

    path: str
    line: int
    language: str
    text: str


def documents() -> list[Path]:
    """Every Markdown file of the repository that users read."""
    return sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("cluster/**/*.md")])


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of one document."""
    for token in MarkdownIt().parse(path.read_text()):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            yield Block(path.relative_to(REPOSITORY).as_posix(), token.map[0] + 1, token.info.strip(), token.content)


def links(path: Path) -> Iterator[str]:
    """Targets of relative links, and repository paths in backticks."""
    for token in MarkdownIt().parse(path.read_text()):
        for child in token.children or []:
            if child.type == "link_open":
                target = str(child.attrGet("href")).partition("#")[0]
                if target and "://" not in target:
                    yield str((path.parent / target).resolve())
            elif child.type == "code_inline" and _is_repository_path(child.content):
                yield str(REPOSITORY / child.content)


def check_block(block: Block) -> None:
    """Raise AssertionError when the block's commands, keys or names do not exist."""
    assert block.language in CHECKS, f"language {block.language!r}; write one of {', '.join(CHECKS)}"
    CHECKS[block.language](block.text)


def check_console(text: str) -> None:
    """Commands follow `$ `; the other lines are output."""
    lines = text.replace("\\\n", " ").splitlines()
    commands = [line[2:] for line in lines if line.startswith("$ ")]
    assert commands, "no line starts with '$ '"
    for command in commands:
        for words in _pipeline(command):
            _check_command(words)


def check_yaml(text: str) -> None:
    """A whole configuration must load; a part of one must load when the required keys are added."""
    value = yaml.safe_load(text)
    assert isinstance(value, dict), "a mapping is expected"
    if "apiVersion" in value:
        return
    try:
        if list(value) == ["keys"]:  # a file of API keys
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(text)
                file.flush()
                load_keys(file.name, {})
            return
        parse_config(value if "run_name" in value else OmegaConf.merge(MINIMAL, value))
    except ConfigError as error:
        raise AssertionError(str(error)) from None


def check_python(text: str) -> None:
    """The code compiles, and the names and keywords of ray_ft that it uses exist."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise AssertionError(f"does not compile: {error}") from None
    imported: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ray_ft":
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name!r}"
                imported[alias.asname or alias.name] = getattr(module, alias.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ray_ft":
            assert hasattr(importlib.import_module("ray_ft"), node.attr), f"ray_ft has no {node.attr!r}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (called := _called(node.func, imported)) is not None:
            known = inspect.signature(called).parameters
            unknown = [k.arg for k in node.keywords if k.arg and k.arg not in known]
            assert not unknown, f"{called.__name__} takes no {', '.join(unknown)}"


def check_json(text: str) -> None:
    """One JSON value, or one per line."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        for line in text.strip().splitlines():
            try:
                json.loads(line)
            except json.JSONDecodeError as error:
                raise AssertionError(f"not JSON: {line!r}: {error}") from None


CHECKS = {
    "console": check_console,
    "yaml": check_yaml,
    "python": check_python,
    "json": check_json,
    "text": lambda text: None,
}


def _pipeline(command: str) -> Iterator[list[str]]:
    """The commands of a line, split at |, && and ;."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;"):
            yield words
            words = []
        else:
            words.append(word)
    if words:
        yield words


def _check_command(words: list[str]) -> None:
    while words and "=" in words[0] and words[0].partition("=")[0].isidentifier():
        words = words[1:]  # VARIABLE=value before the command
    if words[:1] == ["export"]:
        return
    assert words, "an empty command"
    program, arguments = words[0].removeprefix("./").removeprefix(".venv/bin/"), words[1:]
    if program == "python" and arguments[:2] == ["-m", "ray_ft"]:
        program, arguments = "ray-ft", arguments[2:]
    if program == "python" and arguments[:1] == ["-m"] and arguments[1:]:
        assert hasattr(importlib.import_module(arguments[1]), "main"), f"{arguments[1]} is no command"
    elif program == "ray-ft":
        _check_ray_ft(arguments)
    elif program == "curl":
        _check_curl(arguments)
    elif _is_repository_path(program):
        assert os.access(REPOSITORY / program, os.X_OK), f"{program} is no executable file"
    else:
        assert program in PROGRAMS, f"unknown program {program!r}"
    for argument in arguments:
        if _is_repository_path(argument):
            assert (REPOSITORY / argument).exists(), f"{argument} does not exist"


def _check_ray_ft(arguments: list[str]) -> None:
    """The parser takes the line, and the config takes its overrides."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parsed = build_parser().parse_args(arguments)
    except SystemExit as end:
        if end.code:
            raise AssertionError(said.getvalue().strip().splitlines()[-1]) from None
        return  # --help
    config = getattr(parsed, "config", None)
    if config is None:
        return
    overrides = [o for o in [getattr(parsed, "job_verb", None), *parsed.overrides] if o and "=" in o]
    try:
        if (REPOSITORY / config).exists():
            load_config(REPOSITORY / config, overrides)
        else:
            assert not _is_repository_path(config), f"{config} does not exist"
            parse_config(MINIMAL, overrides)  # a file of the reader's own
    except ConfigError as error:
        raise AssertionError(str(error)) from None


def _check_curl(arguments: list[str]) -> None:
    """Known flags, a route that is served, and a body that is JSON."""
    urls, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            urls.append(word)
            continue
        assert word in CURL_FLAGS, f"unknown curl flag {word}"
        values = [rest.pop(0) for _ in range(CURL_FLAGS[word])]
        if word == "-d":
            json.loads(values[0])
    assert len(urls) == 1, f"curl takes one URL, got {urls}"
    url = urlsplit(urls[0])
    assert (url.scheme or "http") in ("http", "https"), urls[0]
    assert url.path in ROUTES, f"no such route {url.path}; there are {', '.join(ROUTES)}"


def _called(function: ast.expr, imported: dict[str, Any]) -> Any:
    """The function of ray_ft behind a call, where there is one."""
    if isinstance(function, ast.Name):
        found = imported.get(function.id)
    elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "ray_ft":
        found = getattr(importlib.import_module("ray_ft"), function.attr, None)
    else:
        found = None
    return found if callable(found) else None


def _is_repository_path(text: str) -> bool:
    """Whether a word names something in this repository: its first part is one of the top folders."""
    tops = ("cluster", "configs", "docs", "ray_ft", "scripts", "tests", ".ci")
    return "/" in text and text.split("/")[0] in tops and not set(text) & set("*{}<> ")
