"""RAKE on small texts whose scores can be worked out by hand."""

from ray_ft.recipes.chunking.keywords import _phrases, keywords


def test_longer_phrases_of_rare_words_come_first() -> None:
    # Phrases: [linear constraints] [natural numbers] [compatibility]. A word's score is degree / frequency: 2 for each
    # word of a pair, 1 for the single word; phrases score 4, 4 and 1, and earlier ones win ties.
    text = "Linear constraints over the natural numbers, and compatibility."
    assert keywords(text) == ["Linear constraints", "natural numbers", "compatibility"]


def test_stop_words_and_code_blocks_are_no_keywords() -> None:
    assert keywords("This is the one that we have.\n\n```python\nsecret_name = 1\n```\n") == []


def test_a_phrase_may_go_over_a_line_break_inside_a_sentence() -> None:
    assert "garbage collection" in keywords("It makes garbage\ncollection part of the runtime.")


def test_two_line_ends_and_marks_end_a_phrase_and_a_short_word_counts_at_the_end_alone() -> None:
    none: frozenset[str] = frozenset()
    assert _phrases("bow ramp\nmotor", none) == [["bow", "ramp", "motor"]]
    assert _phrases("bow ramp\n\nmotor", none) == [["bow", "ramp"], ["motor"]]
    assert _phrases("bow ramp:\nmotor, pier", none) == [["bow", "ramp"], ["motor"], ["pier"]]
    assert _phrases("go, db", none) == [["db"]]
    assert _phrases("db\n", none) == []
    assert _phrases("rampe ouverte du navire", frozenset({"du"})) == [["rampe", "ouverte"], ["navire"]]
    assert _phrases("opening bow ramp closed", none) == [["bow", "ramp"]]


def test_a_phrase_inside_a_chosen_one_is_not_told_again() -> None:
    assert keywords("Batch size limits memory. The batch size limits are known.", 5)[0] == "Batch size limits memory"
    assert len(keywords("gradient checkpointing. gradient checkpointing. gradient", 5)) == 1


def test_other_alphabets_give_keywords_too() -> None:
    assert keywords("Größe, Übertragung") == ["Größe", "Übertragung"]


def test_verbs_and_adverbs_are_no_part_of_a_keyword() -> None:
    text = "The tsvector type represents a document; the tsquery type similarly represents a text query."
    assert set(keywords(text)) == {"tsvector type", "tsquery type", "text query", "document"}
    assert keywords("Patterns of the files covered, after executing arbitrary SQL commands.")[:3] == [
        "arbitrary SQL commands", "Patterns", "files",
    ]  # fmt: skip


def test_rows_and_items_end_a_phrase() -> None:
    rows = "Description: | Sets the default charset\nSyntax: | Charset name\nContext: | whole server"
    text = f"{rows}\n\n- slow ramp\n- fast bell"
    assert not any("\n" in word or "charset Syntax" in word or "ramp fast" in word for word in keywords(text))
    assert {"default charset", "slow ramp", "fast bell"} <= set(keywords(text, 12))
