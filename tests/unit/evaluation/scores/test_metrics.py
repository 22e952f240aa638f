"""Metrics against values worked out by hand, and at their edges."""

from collections.abc import Callable

import pytest

from ray_ft.evaluation.scores import metrics


def test_tokens_drop_case_punctuation_and_articles() -> None:
    assert metrics.tokens("The Cat, sat on A mat!") == ["cat", "sat", "on", "mat"]


def test_a_text_of_articles_alone_keeps_them() -> None:
    assert metrics.tokens("The a") == ["the", "a"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,204", "1204"), ("1,234,567.50", "1234567.5"), ("3.50", "3.5"), ("3,5", "3.5"), ("10", "10"), ("4.0", "4"),
     ("100", "100"), ("1.2.3", "1.2.3")],
)  # fmt: skip
def test_numbers_have_one_spelling(text: str, number: str) -> None:
    assert metrics.tokens(text) == [number]


def test_unicode_forms_of_one_text_are_equal() -> None:
    # "é" composed and decomposed; full-width letters; the sharp s folds to ss; the ligature fi
    assert metrics.tokens("Café ＡＢＣ Straße ﬁt") == metrics.tokens("Cafe\u0301 abc STRASSE fit")


def test_chinese_and_japanese_count_by_character() -> None:
    assert metrics.tokens("模型 abc かな") == ["模", "型", "abc", "か", "な"]


def test_markdown_underscores_are_no_part_of_a_word() -> None:
    assert metrics.tokens("_very_ __init__ max_seq_len") == ["very", "init", "max_seq_len"]


def test_token_f1_by_hand() -> None:
    # answer {cat, sat, down}, reference {cat, sat, on, mat}: 2 shared, P 2/3, R 2/4, F1 = 2*2/(3+4) = 4/7
    assert metrics.token_f1("The cat sat down", "a cat sat on the mat") == pytest.approx(4 / 7)


def test_token_f1_counts_a_repeated_word_as_often_as_both_have_it() -> None:
    # shared {no: 1}: F1 = 2*1/(3+1)
    assert metrics.token_f1("no no no", "no") == pytest.approx(0.5)


def test_rouge_l_needs_the_order_that_token_f1_ignores() -> None:
    # LCS of "d c b x" and "x b c d" is 1 long: 2*1/(4+4) = 0.25; all four tokens are shared
    assert metrics.rouge_l("d c b x", "x b c d") == pytest.approx(0.25)
    assert metrics.token_f1("d c b x", "x b c d") == 1.0


def test_rouge_l_skips_words_in_between() -> None:
    # LCS "cat sat mat" is 3 long: 2*3/(5+3)
    assert metrics.rouge_l("cat quietly sat near mat", "cat sat mat") == pytest.approx(6 / 8)


@pytest.mark.parametrize("metric", [metrics.token_f1, metrics.rouge_l, metrics.exact_match])
def test_an_empty_answer_scores_nothing_unless_nothing_was_wanted(metric: Callable[[str, str], float]) -> None:
    assert metric("", "something") == 0.0
    assert metric("something", "") == 0.0
    assert metric("", "?!") == 1.0


def test_exact_match_forgives_case_articles_and_number_format() -> None:
    assert metrics.exact_match("The Limit is 1,000.", "limit is 1000") == 1.0
    assert metrics.exact_match("limit is 1001", "limit is 1000") == 0.0


def test_key_fact_recall_is_the_share_of_facts() -> None:
    answer = "It retries three times, then waits 1,200 seconds."
    assert metrics.key_fact_recall(answer, ["three times", "1200 seconds", "exponential backoff"]) == pytest.approx(
        2 / 3
    )


def test_a_fact_is_not_found_inside_a_longer_word_or_number() -> None:
    assert not metrics.states_fact("The format is performant.", "form")
    assert not metrics.states_fact("It holds 128 GB.", "28 GB")


def test_a_near_spelling_counts_and_a_wrong_number_does_not() -> None:
    assert metrics.states_fact("uses the exponentail backoff policy of the queue", "exponential backoff policy")
    assert not metrics.states_fact("waits at most 31 seconds before a retry", "waits at most 30 seconds before a retry")


def test_a_short_answer_does_not_match_itself_inside_a_long_fact() -> None:
    # rapidfuzz's partial ratio of "rate" and the fact is 100, because it slides the shorter text along the longer.
    assert not metrics.states_fact("rate", "the learning rate falls to a tenth of its peak")


def test_short_facts_must_match_exactly() -> None:
    assert not metrics.states_fact("it is lora8", "lora")
    assert metrics.states_fact("it is LoRA.", "lora")


@pytest.mark.parametrize("facts", [[], ["?!"]])
def test_no_fact_to_state_is_no_recall(facts: list[str]) -> None:
    assert metrics.key_fact_recall("anything", facts) == 0.0


def test_length_ratio_by_hand() -> None:
    assert metrics.length_ratio("one two three four", "one two") == 2.0
    assert metrics.length_ratio("one two", "") == 2.0
    assert metrics.length_ratio("", "one two") == 0.0


@pytest.mark.parametrize(
    "answer",
    ["", "  ", "I don't know.", "I don’t know", "This is not mentioned in the passages.", "It cannot be determined.",
     "The documents do not say."],
)  # fmt: skip
def test_declining_is_recognised(answer: str) -> None:
    assert metrics.abstention(answer) == 1.0


def test_an_answer_is_no_abstention() -> None:
    assert metrics.abstention("The scheduler does not start before noon.") == 0.0


def test_ranks_count_from_one() -> None:
    ranking = ["x", "gold", "y"]
    assert metrics.reciprocal_rank(ranking, "gold") == 0.5
    assert metrics.reciprocal_rank(ranking, "absent") == 0.0
    assert metrics.recall_at(ranking, "gold", 1) == 0.0
    assert metrics.recall_at(ranking, "gold", 2) == 1.0


def test_unanswerable_questions_are_scored_by_abstention_alone() -> None:
    assert metrics.score_answer("I cannot answer that.", reference="", key_facts=(), answerable=False) == {
        "abstention": 1
    }


def test_facts_default_to_the_reference() -> None:
    assert metrics.score_answer("a red door", reference="red door", key_facts=())["key_fact_recall"] == 1.0
