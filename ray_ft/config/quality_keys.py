"""The thresholds of data.quality, which leave out documents by what is counted in them; none is set unless you set it.

What is counted, and from which paper a rule is, says `ray_ft/data/filters/quality.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class QualityConfig:
    """Documents that fail one of these rules are left out; `ray-ft inspect` shows what each would leave out."""

    min_words: int | None = None
    """Fewest words of a document: 50 in Gopher."""
    max_words: int | None = None
    """Most words: 100000 in Gopher."""
    min_mean_word_length: float | None = None
    """Shortest mean length of its words, in characters: 3 in Gopher."""
    max_mean_word_length: float | None = None
    """Longest mean length of its words: 10 in Gopher."""
    max_hashes_per_word: float | None = None
    """Most signs # for each word: 0.1 in Gopher."""
    max_ellipses_per_word: float | None = None
    """Most ellipses for each word: 0.1 in Gopher."""
    max_bullet_lines: float | None = None
    """Largest share of lines that begin with a bullet: 0.9 in Gopher."""
    max_ellipsis_lines: float | None = None
    """Largest share of lines that end in an ellipsis: 0.3 in Gopher."""
    min_alphabetic_words: float | None = None
    """Smallest share of words with a letter: 0.8 in Gopher."""
    min_stop_words: int | None = None
    """Fewest different stop words of one language: 2 in Gopher."""
    max_duplicate_lines: float | None = None
    """Largest share of lines that stood before: 0.3 in Gopher."""
    max_duplicate_line_characters: float | None = None
    """The same, of all characters: 0.2 in Gopher, 0.01 in FineWeb."""
    max_duplicate_paragraphs: float | None = None
    """Largest share of paragraphs that stood before: 0.3 in Gopher."""
    max_duplicate_paragraph_characters: float | None = None
    """The same, of all characters: 0.2 in Gopher."""
    max_top_2_grams: float | None = None
    """Largest share of characters in the most frequent run of 2 words: 0.2 in Gopher."""
    max_top_3_grams: float | None = None
    """In the most frequent run of 3 words: 0.18 in Gopher."""
    max_top_4_grams: float | None = None
    """In the most frequent run of 4 words: 0.16 in Gopher."""
    max_duplicate_5_grams: float | None = None
    """Largest share of characters in runs of 5 words that stood before: 0.15 in Gopher."""
    max_duplicate_10_grams: float | None = None
    """In runs of 10 words that stood before: 0.1 in Gopher."""
    min_ended_lines: float | None = None
    """Smallest share of lines that end as a sentence does: 0.12 in FineWeb."""
    max_short_lines: float | None = None
    """Largest share of lines of 30 characters and fewer: 0.67 in FineWeb."""
    max_newlines_per_word: float | None = None
    """Most ends of lines for each word: 0.3 in FineWeb."""
    min_sentences: int | None = None
    """Fewest sentences in lines that end as one does: 5 in C4."""
