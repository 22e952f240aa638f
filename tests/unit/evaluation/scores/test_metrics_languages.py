"""Metrics against other programs' figures, in ten languages by hand, and on answers that only look good."""

import json
from pathlib import Path

import pytest

from ray_ft.evaluation.scores import metrics

REFERENCE = json.loads((Path(__file__).parents[3] / "data/reference_scores.json").read_text(encoding="utf-8"))

# question, reference, a right answer in other words, a wrong one that looks like it, a refusal
LANGUAGES = {
    "German": ("Wann fährt die Fähre?", "um 7:40 Uhr", "Die Fähre fährt um 7:40 Uhr ab.", "Sie fährt um 8:40 Uhr ab.",
               "Das weiß ich leider nicht."),
    "French": ("Où part le bac ?", "au quai nord", "Le bac part au quai nord.", "Il part au quai sud.",
               "Je ne sais pas."),
    "Spanish": ("¿Quién vende billetes?", "la oficina azul", "Los vende la oficina azul.",
               "Los vende la oficina roja.",
                "No lo sé."),
    "Russian": ("Сколько стоит билет?", "двенадцать рублей", "Билет стоит двенадцать рублей.",
               "Билет стоит двадцать рублей.",
                "Я не знаю."),
    "Arabic": ("متى تغادر العبارة؟", "صباح الأحد", "تغادر العبارة صباحَ الأحدِ.", "تغادر العبارة صباح الاثنين.",
               "لا أعرف."),
    "Hindi": ("कौन आया?", "एक लड़का", "कल एक लड़का आया।", "कल एक लड़की आया।", "मुझे नहीं पता।"),
    "Chinese": ("渡船几点开？", "早上七点", "渡船早上七点开。", "渡船早上八点开。", "我不知道。"),
    "Japanese": ("誰が切符を売りますか。", "港の事務所", "切符は港の事務所で売ります。",
               "切符は駅の事務所で売ります。", "わかりません。"),
    "Korean": ("배는 언제 떠납니까?", "일요일 아침", "배는 일요일 아침 떠납니다.", "배는 월요일 아침 떠납니다.",
               "모르겠습니다."),
    "Thai": ("เรือออกกี่โมง", "เจ็ดโมงเช้า", "เรือออกเจ็ดโมงเช้า", "เรือออกแปดโมงเช้า", "ไม่ทราบ"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFERENCE["answers"], ids=lambda case: case["answer"][:20])
def test_answers_score_as_other_programs_have_it(case: dict[str, object]) -> None:
    answer, reference = str(case["answer"]), str(case["reference"])
    for name in ("token_f1", "exact_match", "rouge_l", "chrf"):
        assert getattr(metrics, name)(answer, reference) == pytest.approx(case[name], abs=1e-12), name


@pytest.mark.parametrize("case", REFERENCE["rankings"], ids=str)
def test_rankings_score_as_scikit_learn_has_it(case: dict[str, float]) -> None:
    ranking = [str(i) for i in range(20)]
    assert metrics.ndcg_at(ranking, str(case["place"]), int(case["k"])) == pytest.approx(case["ndcg"], abs=1e-12)


@pytest.mark.parametrize("language", LANGUAGES)
def test_ten_languages_by_hand(language: str) -> None:
    question, reference, right, wrong, refusal = LANGUAGES[language]

    def score(answer: str) -> dict[str, float]:
        return metrics.score_answer(answer, reference=reference, key_facts=(reference,), question=question)

    assert score(right)["key_fact_recall"] == 1
    assert score(right)["net_score"] > 0.4
    assert (score(wrong)["key_fact_recall"], score(wrong)["net_score"], score(wrong)["declined"]) == (0, -1, 0)
    assert (score(refusal)["declined"], score(refusal)["net_score"]) == (1, 0)
    assert score(reference)["exact_match"] == score(reference)["key_fact_f1"] == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [("<think>30 days?</think> 60 days", "60 days"), ("30 days? no</think>\n\n60 days", "60 days"),
     ("<think>30 days", ""), ("<Thinking>\n30 days\n</Thinking>60 days", "60 days"),
     ("[THINK]30 days[/THINK]60 days", "60 days"),
     ("60 days", "60 days"), ("a <b> 60 days", "a <b> 60 days")],
)  # fmt: skip
def test_thoughts_are_not_the_answer(answer: str, said: str) -> None:
    assert metrics.without_thoughts(answer) == said
    assert metrics.score_answer(answer, reference="30 days", key_facts=["30 days"])["key_fact_recall"] == 0


def test_a_thought_that_never_ends_is_no_abstention() -> None:
    assert metrics.abstention("<think>I don't know yet, let me see") == 0
    assert metrics.abstention("<think>Is it there? No.</think> The documents do not say.") == 1


FACTS = {"reference": "The permit costs 40 euros and is valid for 3 days.", "key_facts": ("40 euros", "3 days"),
         "question": "What does the permit cost, and for how long is it valid?"}  # fmt: skip


def test_an_invented_answer_stands_below_an_abstention_and_a_right_one_above() -> None:
    invented = metrics.score_answer("The permit costs 55 euros and is valid for 9 days.", **FACTS)
    abstains = metrics.score_answer("I don't know.", **FACTS)
    right = metrics.score_answer("The permit costs 40 euros and is valid for 3 days.", **FACTS)
    assert invented["token_f1"] > 0.7  # words alone would put it far above
    assert invented["net_score"] == -1 < abstains["net_score"] == 0 < right["net_score"] == 1
    # 55 and 9 stand nowhere
    assert (invented["unsupported_details"], right["unsupported_details"]) == (1, 0)


def test_half_of_the_facts_and_some_words_beside_are_weighed() -> None:
    # own words: 40, euros (permit and costs are no inventions: the reference has them), lanterns, free: precision 4/6
    score = metrics.score_answer("The permit costs 40 euros, lanterns free.", **FACTS)
    assert (score["key_fact_recall"], score["key_fact_precision"]) == (0.5, pytest.approx(4 / 6))
    assert score["net_score"] == pytest.approx(0.5 * 4 / 6 - 0.5 * 2 / 6)


def test_copied_passages_recall_everything_and_the_echo_nothing() -> None:
    passages = " ".join(
        f"Lock {i} opens before the morning tide, keepers ring twice, barges wait beside red buoys." for i in range(9)
    )
    copied = metrics.score_answer(f"{FACTS['reference']} {passages}", **FACTS)
    assert copied["key_fact_recall"] == 1
    assert copied["key_fact_precision"] < 0.1
    assert max(copied["key_fact_f1"], copied["net_score"]) < 0.2
    echo = metrics.score_answer(str(FACTS["question"]), **FACTS)
    assert (echo["key_fact_recall"], echo["key_fact_f1"], echo["net_score"]) == (0, 0, -1)


def test_one_other_word_is_another_fact_unless_it_is_small() -> None:
    assert not metrics.states_fact("In winter the red door is open", "In winter the bed door is open")
    assert not metrics.states_fact("दुकान में एक लड़का काम करता है", "दुकान में एक लड़की काम करता है")
    assert metrics.states_fact("The limit is set to 30 seconds per call", "limit is set at 30 seconds per call")


def test_details_are_numbers_names_and_identifiers() -> None:
    text = "Ask Marta Quill first. Then set max_wait to 30 s with loadModel on port x86_64."
    assert metrics.details(text) == {"marta", "quill", "max_wait", "30", "loadmodel", "x86_64"}
    # In German every noun has a capital, so that capitals tell nothing.
    assert metrics.details("Der Fahrplan der Fähre hängt am Kai und am Tor der Werft, Gleis 7") == {"7"}


STEPS = "1. Close the valve.\n2. Drain the tank.\n3. Lift the lid."


@pytest.mark.parametrize(
    ("answer", "share"),
    [("Close the valve, drain the tank, then lift the lid.", 1.0),
     ("Lift the lid, drain the tank, close the valve.", 1 / 3),
     ("Drain the tank, then lift the lid.", 2 / 3), ("Call the office.", 0.0)],
)  # fmt: skip
def test_steps_count_in_their_order(answer: str, share: float) -> None:
    assert metrics.score_answer(answer, reference=STEPS, key_facts=())["steps_in_order"] == pytest.approx(share)
    assert "steps_in_order" not in metrics.score_answer(answer, reference="Close the valve.", key_facts=())
