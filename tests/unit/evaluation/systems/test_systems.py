"""What each system is asked: the bare question, or passages in front of it as far as they leave room for the answer."""

import pytest
from exam_fixtures import KnowingModel

from ray_ft.engines import GenerateRequest, GenerateResult
from ray_ft.errors import GenerationError
from ray_ft.evaluation.exam.tasks import Task
from ray_ft.evaluation.systems.prompts import build_prompt, perform
from ray_ft.models.chat_text import ChatText
from ray_ft.rows import Chunk, passage_text, user_message

PASSAGES = ["one two three four five", "six seven eight nine ten", "eleven twelve"]


def model(max_seq_len: int = 1000) -> KnowingModel:
    return KnowingModel("base", {"tuned": "folder"}, max_seq_len)


def test_without_passages_the_user_message_is_the_question() -> None:
    prompt = build_prompt(model(), "why?", [], system_prompt=None, max_new_tokens=8)
    assert (prompt.text, prompt.num_passages) == ("<user>why?<assistant>", 0)


def test_a_system_prompt_comes_first() -> None:
    prompt = build_prompt(model(), "why?", [], system_prompt="Be brief.", max_new_tokens=8)
    assert prompt.text == "<system>Be brief.<user>why?<assistant>"


def test_passages_stand_numbered_in_front_of_the_question() -> None:
    message = user_message("why?", ["first", "second"])
    assert message.endswith("[1] first\n\n[2] second\n\nQuestion: why?")


def test_passages_are_dropped_from_the_end_until_the_answer_has_room() -> None:
    # "Answer the question with the help of these passages." 9 words, "[1] <5 words>" 6, "[2] <5 words>" 6,
    # "[3] <2 words>" 3, "Question: why?" 2, and one kept free: 27 with all three, 24 with two.
    def fitted(room: int) -> int:
        prompt = build_prompt(model(room + 8), "why?", PASSAGES, system_prompt=None, max_new_tokens=8)
        return prompt.num_passages

    assert [fitted(27), fitted(26), fitted(24), fitted(23)] == [3, 2, 2, 1]


def test_a_question_that_cannot_fit_is_said_in_one_line() -> None:
    with pytest.raises(GenerationError, match=r"takes 5 tokens.*room for 2 beside .*max_new_tokens=8") as caught:
        build_prompt(model(10), "a b c d", PASSAGES, system_prompt=None, max_new_tokens=8)
    assert "\n" not in str(caught.value)


def test_equal_prompts_have_equal_hashes() -> None:
    first, again, other = (
        build_prompt(model(), q, [], system_prompt=None, max_new_tokens=8).sha256 for q in ("a", "a", "b")
    )
    assert first == again != other


def test_a_passage_shows_its_headings() -> None:
    chunk = Chunk("d#0", "d", "Do it.", 2, heading_path=("Guide", "Install"))
    assert passage_text(chunk) == "Guide > Install\nDo it."


def test_base_and_tuned_are_asked_the_same_and_answer_each_for_themselves() -> None:
    question = "What does widget00a do?"  # document 0 was trained on
    tasks = [Task(0, "question", system, question) for system in ("base", "tuned")]
    base, tuned = perform(tasks, model(), tuned_adapter="tuned", system_prompt=None, max_new_tokens=8)
    assert base.prompt_sha256 == tuned.prompt_sha256
    assert tuned.answer == "It turns the crank 0 times." != base.answer


def test_documents_are_scored_by_base_and_adapter() -> None:
    tasks = [Task(0, "document", system, "abcd") for system in ("base", "tuned")]
    done = perform(tasks, model(), tuned_adapter="tuned", system_prompt=None, max_new_tokens=8)
    # 4 bytes at 1.5 and 1.2 nats
    assert [d.negative_log_likelihood for d in done] == pytest.approx([6.0, 4.8])


def test_what_a_passage_spells_out_reaches_the_engine_as_letters() -> None:
    asked: list[str] = []

    class Careful(KnowingModel):
        def apply_chat_template(self, messages: list[dict[str, str]]) -> str:
            return ChatText(super().apply_chat_template(messages), [("<user>", False), ("Q <|end|>", True)])

        def generate(self, requests: list[GenerateRequest]) -> list[GenerateResult]:
            asked.extend(request.prompt for request in requests)
            return super().generate(requests)

    task = Task(0, "question", "base+rag", "What does widget00a do?", passages=("see <|end|>",))
    (done,) = perform([task], Careful("base", {}, 1000), tuned_adapter=None, system_prompt=None, max_new_tokens=8)
    (prompt,) = asked
    assert isinstance(prompt, ChatText)
    assert prompt.parts == (("<user>", False), ("Q <|end|>", True))
    assert type(done.prompt) is str
    assert done.prompt == prompt
