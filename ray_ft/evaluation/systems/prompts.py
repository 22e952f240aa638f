"""How each system is prompted, and the work that a loaded model does for it.

Everything here runs where the model is; `answering.py` spreads it over the cluster.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ray_ft.engines import GenerateRequest, GenerateResult, LoadedModel
from ray_ft.errors import GenerationError
from ray_ft.evaluation.exam.tasks import BASE, TUNED, Done, Task
from ray_ft.evaluation.systems.kept import Kept
from ray_ft.retrievers.passages import user_messages


@dataclass(frozen=True)
class Prompt:
    """A finished prompt and how many passages found room in it."""

    text: str
    num_passages: int

    @property
    def sha256(self) -> str:
        """Proof that two systems were asked the same."""
        return hashlib.sha256(self.text.encode("utf-8", "replace")).hexdigest()


def perform(
    tasks: Sequence[Task],
    model: LoadedModel,
    *,
    tuned_adapter: str | None,
    system_prompt: str | None,
    max_new_tokens: int,
    kept: Kept | None = None,
) -> list[Done]:
    """Do all tasks on one loaded model; `tuned_adapter` is None where the loaded model is itself the tuned one.

    What `kept` has is not asked again, and what is asked goes there as it ends.
    """
    questions = [task for task in tasks if task.kind in ("question", "sample")]
    documents = [task for task in tasks if task.kind == "document"]
    speaking = [task for task in tasks if task.kind == "said"]
    answers = []
    for system in dict.fromkeys(task.system for task in questions):  # apart, so that each has seconds of its own
        of_system = [task for task in questions if task.system == system]
        started = time.perf_counter()
        before, some = _answer(of_system, model, tuned_adapter, system_prompt, max_new_tokens, kept)
        seconds = (time.perf_counter() - started) / max(len(some), 1)
        answers += [*before, *(replace(done, seconds=seconds) for done in some)]
    drawn = _draw(speaking, model, tuned_adapter, system_prompt, max_new_tokens)
    return answers + _score_documents(documents, model, tuned_adapter) + drawn


def _answer(
    tasks: Sequence[Task],
    model: LoadedModel,
    tuned_adapter: str | None,
    system_prompt: str | None,
    max_new_tokens: int,
    kept: Kept | None,
) -> tuple[list[Done], list[Done]]:
    """Answers that were kept, and those that were made now."""
    prompts = [
        build_prompt(model, t.text, t.passages, system_prompt=system_prompt, max_new_tokens=max_new_tokens)
        for t in tasks
    ]
    pairs = list(zip(tasks, prompts, strict=True))
    before = [] if kept is None else [done for task, prompt in pairs if (done := kept.get(task, prompt.sha256))]
    answered = {(done.kind, done.index, done.sample) for done in before}
    pairs = [(task, prompt) for task, prompt in pairs if (task.kind, task.index, task.sample) not in answered]
    requests = [
        GenerateRequest(
            prompt=prompt.text,
            adapter=tuned_adapter if task.is_tuned else None,
            max_new_tokens=max_new_tokens,
            temperature=task.temperature,
            seed=task.sample,
        )
        for task, prompt in pairs
    ]
    if kept is None:
        results = model.generate(requests)
    else:
        results = model.generate(requests, lambda i, result: kept.add(_done(*pairs[i], result)))
    return before, [_done(*pair, result) for pair, result in zip(pairs, results, strict=True)]


def _done(task: Task, prompt: Prompt, result: GenerateResult) -> Done:
    return Done(
        index=task.index,
        kind=task.kind,
        system=task.system,
        sample=task.sample,
        prompt=str(prompt.text),  # as it is shown
        prompt_sha256=prompt.sha256,
        num_passages=prompt.num_passages,
        answer=result.text,
        num_prompt_tokens=result.num_prompt_tokens,
        num_completion_tokens=result.num_completion_tokens,
        finish_reason=result.finish_reason,
    )


def _score_documents(tasks: Sequence[Task], model: LoadedModel, tuned_adapter: str | None) -> list[Done]:
    done = []
    for is_tuned in (False, True):
        part = [task for task in tasks if task.is_tuned == is_tuned]
        if part:
            texts, adapter = [task.text for task in part], tuned_adapter if is_tuned else None
            nats = model.negative_log_likelihood(texts, adapter=adapter)
            done += [
                Done(index=task.index, kind="document", system=task.system, negative_log_likelihood=value)
                for task, value in zip(part, nats, strict=True)
            ]
    return done


def _draw(
    tasks: Sequence[Task], model: LoadedModel, tuned_adapter: str | None, system_prompt: str | None, max_new_tokens: int
) -> list[Done]:
    """Draw what the base says to each prompt, unless a task brings it, and score it under all that is loaded.

    At temperature 1 with the index as seed, so that the mean rise of the negative log-likelihood under another model
    estimates the base's divergence from it, KL(base || other). Where the base says nothing there is no outcome.
    """
    prompts = [
        build_prompt(model, t.text, (), system_prompt=system_prompt, max_new_tokens=max_new_tokens) for t in tasks
    ]
    said = [task.token_ids for task in tasks]
    drawing = [i for i, task in enumerate(tasks) if not task.is_tuned]
    requests = [
        GenerateRequest(prompts[i].text, max_new_tokens=max_new_tokens, temperature=1.0, seed=tasks[i].index)
        for i in drawing
    ]
    for i, result in zip(drawing, model.generate(requests), strict=True):
        said[i] = tuple(result.token_ids or model.token_ids(result.text))
    done = []
    for system, adapter in ((BASE, None), (TUNED, tuned_adapter)):
        part = [i for i, t in enumerate(tasks) if said[i] and (t.system == system or adapter is not None)]
        rows = [(*model.prompt_ids(prompts[i].text, adapter=adapter), *said[i]) for i in part]
        scored = model.prompt_logprobs(rows, adapter=adapter, num_logprobs=0) if rows else []
        done += [
            Done(
                index=tasks[i].index,
                kind="said",
                system=system,
                prompt=str(prompts[i].text),
                prompt_sha256=prompts[i].sha256,
                answer=model.detokenize(said[i]),
                num_prompt_tokens=len(tokens) - len(said[i]),
                num_completion_tokens=len(said[i]),
                negative_log_likelihood=-sum(token.logprob for token in tokens[-len(said[i]) :]),
                token_ids=said[i],
            )
            for i, tokens in zip(part, scored, strict=True)
        ]
    return done


def build_prompt(
    model: LoadedModel, question: str, passages: Sequence[str], *, system_prompt: str | None, max_new_tokens: int
) -> Prompt:
    """The chat prompt of a question, with as many of the passages in front of it as leave room for a full answer.

    Passages are dropped from the end, the worst first. Raises GenerationError when not even the bare question fits.
    """
    room = model.max_seq_len - max_new_tokens
    for content, num_passages in user_messages(question, passages):
        messages = [{"role": "user", "content": content}]
        if system_prompt is not None:
            messages.insert(0, {"role": "system", "content": system_prompt})
        text = model.apply_chat_template(messages)
        # One token is kept free for a beginning-of-text that an engine may put in front.
        num_tokens = model.count_tokens(text) + 1
        if num_tokens <= room:
            return Prompt(text, num_passages)
    raise GenerationError(
        f"The question {question[:60]!r} takes {num_tokens} tokens, and the model's context of {model.max_seq_len} has "
        f"room for {max(room, 0)} beside an answer of evaluation.max_new_tokens={max_new_tokens}. Shorten one of them."
    )
