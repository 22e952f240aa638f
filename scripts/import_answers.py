"""Puts recorded answers where `ray-ft prepare` looks for a generator's: `import_answers.py CONFIG RECORDINGS.jsonl`.

Answers are kept by the whole prompt. So the recipes of the configuration are run over its documents here, as prepare
will, and each request is answered by the recordings of the passage that it shows; one without a recording is an error,
and so is a recording that nobody asked for. A line of RECORDINGS holds the passage's headings, a question with answer,
evidence and rephrasings, and `exam: true` where it answers an examiner's request. A request for questions alone, which
the `query` recipe makes, is answered by those of all facts whose evidence the passage holds.
"""

import argparse
import json
import re
import sys
import uuid
from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ray_ft.config import Config, load_config
from ray_ft.data.build.plan import response_cache
from ray_ft.data.build.questions import make_questions
from ray_ft.data.build.stage import make_examples
from ray_ft.data.filters.apply import Cleaning
from ray_ft.data.generation.response_cache import ResponseCache, find_responses
from ray_ft.data.ingest.listing import list_files
from ray_ft.data.ingest.stage import parse_item
from ray_ft.data.run.journal import Journal
from ray_ft.data.tokenization.chat import ChatEncoder, token_counter
from ray_ft.engines import WriteRequest, Written
from ray_ft.errors import ConfigError, RayFTError
from ray_ft.models.folder import resolve_model
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.quiet import quiet_libraries
from ray_ft.rows import MAX_NEW_TOKENS

SHOWN = re.compile(r"\n\nPassage \((.*)\):\n")
EXAM = "An examiner"
QUESTIONS_ALONE = 'Reply with JSON alone: {"questions"'
Key = tuple[str, bool]


class Recordings:
    """Answers to the requests of recipes by the headings of the passage they show; each is kept as it is given."""

    def __init__(self, path: Path, answers: ResponseCache) -> None:
        self.pairs: dict[Key, list[dict[str, Any]]] = defaultdict(list)
        for line in filter(str.strip, path.read_text(encoding="utf-8").split("\n")):
            recorded = json.loads(line)
            self.pairs[" > ".join(recorded.pop("passage")), recorded.pop("exam", False)].append(recorded)
        self.answers, self.given = answers, dict[WriteRequest, str]()
        self.asked: set[Key] = set()

    def __call__(self, prompts: list[str], /, *, schema: str = "", max_new_tokens: int = MAX_NEW_TOKENS) -> list[str]:
        """The recorded pairs of each prompt's passage. Raises ConfigError for a passage that has none."""
        return [self._answer(WriteRequest(prompt, schema, max_new_tokens)) for prompt in prompts]

    def _answer(self, request: WriteRequest) -> str:
        shown = SHOWN.search(request.prompt)
        if QUESTIONS_ALONE in request.prompt:
            title = shown.group(1).split(" > ")[0] if shown else ""
            return self._questions(request, title, request.prompt[shown.end() :] if shown else "")
        key = (shown.group(1) if shown else "", request.prompt.startswith(EXAM))
        if key not in self.pairs:
            kind = "exam question" if key[1] else "question"
            raise ConfigError(f"no {kind} is recorded for the passage {key[0]!r}, which prepare will ask about")
        self.asked.add(key)
        self.given[request] = json.dumps({"pairs": self.pairs[key]}, ensure_ascii=False)
        return self.given[request]

    def _questions(self, request: WriteRequest, title: str, passage: str) -> str:
        """The first wording of every fact in the passage, then the second ones, and so on."""
        words = " ".join(passage.split())
        wordings = []
        for key, pairs in self.pairs.items():
            of_page = not key[1] and key[0].split(" > ")[0] == title
            held = [pair for pair in pairs if of_page and " ".join(pair["evidence"].split()) in words]
            wordings += [[pair["question"], *pair["rephrasings"]] for pair in held]
            if held:
                self.asked.add(key)
        questions = [q for round_ in zip_longest(*wordings) for q in round_ if q]
        self.given[request] = json.dumps({"questions": questions}, ensure_ascii=False)
        return self.given[request]

    def keep(self) -> None:
        """Write a journal of what is not there yet. Raises ConfigError for recordings that nobody asked for."""
        if unused := sorted(self.pairs.keys() - self.asked):
            raise ConfigError(f"{len(unused)} recordings belong to no passage, such as those of {unused[0][0]!r}")
        known = find_responses(self.answers)
        missing = {request: text for request, text in self.given.items() if self.answers.key(request) not in known}
        if missing:
            with Journal(Path(self.answers.folder), uuid.uuid4().hex) as journal:
                for request, text in missing.items():
                    self.answers.keep(journal, request, Written(text))


def import_answers(config: Config, path: Path, model_path: str) -> Recordings:
    """Run the recipes over the documents with recorded answers, and keep those. Needs no Ray."""
    data, model = config.data, config.model
    answers = response_cache(data, model, model_path, config.run_path)
    if answers is None:
        raise ConfigError("data.generator: name the engine whose answers were recorded")
    recordings = Recordings(path, answers)
    tokenizer = load_tokenizer(model_path, model.chat_template)
    encoder = ChatEncoder(tokenizer, system_prompt=model.system_prompt, max_seq_len=model.max_seq_len)
    files = list_files(data)
    cleaning = Cleaning.of(data, files)
    for file in files:
        for read in parse_item(file, cleaning):
            if read.document is not None:
                count_tokens = token_counter(encoder)
                make_examples(read.document, data.recipes, count_tokens, recordings)
                make_questions(
                    read.document, split="train", passages=[], prompts=[], count_tokens=count_tokens,
                    recipes=data.recipes, max_tokens=data.passage_tokens, generate=recordings,
                )  # fmt: skip
    recordings.keep()
    return recordings


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("recordings", type=Path)
    given, overrides = parser.parse_known_args(arguments)
    quiet_libraries()
    try:
        config = load_config(given.config, overrides)
        model_path = resolve_model(config.model.name, output_dir=config.output_dir, revision=config.model.revision)
        recordings = import_answers(config, given.recordings, model_path)
    except RayFTError as error:
        sys.exit(f"{given.recordings}: {error}")
    print(f"{len(recordings.given)} recorded answers are in {recordings.answers.folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
