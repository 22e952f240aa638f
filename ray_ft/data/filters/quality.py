"""Quality of a document as counts of its words, lines and runs of words, after the papers that filtered the web so.

Each rule holds one count against a threshold of `data.quality`; what is a good one depends on the documents, so that
`ray-ft inspect` shows how the counts spread, and what the papers' thresholds would leave out.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ray_ft.config import QualityConfig
from ray_ft.words import num_words, script_language

TOKEN = re.compile(
    r"https?://\S++|\d++(?:[.,:]\d++)*+|[^\W\d]\w*?(?=n['’]t\b)|n['’]t\b|['’](?:s|re|ve|ll|d|m)\b|\w++|\.\.\.|[^\w\s]",
    re.IGNORECASE,
)
UNSPACED = re.compile(
    "[\u3005-\u3007\u3040-\u31bf\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff]{1,2}"
    "|(?:[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df]){1,6}"
    "|[^\u3005-\u3007\u3040-\u31bf\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df]+"
)
"""A word: two characters of Chinese and Japanese, and six of Thai, Lao, Khmer and Burmese, marks among them."""
PARAGRAPH, LINES = re.compile(r"\n{2,}"), re.compile(r"\n+")
ENDS = (".", "!", "?", '."', '!"', '?"', ".”", "!”", "?”", "。", "！", "？", "।", "؟", "።")
SENTENCE = re.compile(r"(?<![.!?。！？।؟])[.!?。！？।؟]++(?=\s|$|[\"”')\]])|(?<=[。！？])(?=\w)")
SHORT_LINE, MIN_LINE_WORDS = 30, 3  # characters of a short line; words of a line that may be a sentence
STOP_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the be to of and that have with",  # Gopher's
        "de": "der die und das ist nicht mit zu",
        "fr": "le les et des est que dans pour",
        "es": "el los y que es una por con",
        "it": "il di che è una per non sono",
        "pt": "os e que não uma para com são",
        "nl": "de het een van en dat niet met",
        "pl": "i w na nie że się z jest",
        "ru": "и в не на что с как по",
        "tr": "ve bir bu için ile da de olarak",
    }.items()
}
"""Eight words each, for a threshold of two: of all function words of a language, as they tell it, any text has two."""


@dataclass(frozen=True)
class Text:
    """A document's words, lines and paragraphs, found when a rule asks for them."""

    text: str

    @cached_property
    def tokens(self) -> Sequence[str]:
        """Words and signs; of scripts without spaces, so many characters as a word has."""
        tokens = TOKEN.findall(self.text)
        if self.text.isascii() or not script_language(self.text):
            return tokens
        return [part for token in tokens for part in ([token] if token.isascii() else UNSPACED.findall(token))]

    @cached_property
    def words(self) -> Sequence[str]:
        """Tokens that are no signs."""
        return [word for word in self.tokens if any(c.isalnum() for c in word)]

    @cached_property
    def lines(self) -> Sequence[str]:
        """Lines with words in them."""
        return [line for line in self.text.split("\n") if line.strip()]


def words(text: Text) -> float:
    """Words (Rae et al. 2021, Gopher, table A1: "between 50 and 100,000 words")."""
    return len(text.words)


def mean_word_length(text: Text) -> float:
    """Characters of a word, on average (Gopher: "mean word length is outside the range of 3 to 10 characters")."""
    return sum(map(len, text.words)) / max(1, len(text.words))


def hashes_per_word(text: Text) -> float:
    """Signs # for each token (Gopher: "symbol-to-word ratio greater than 0.1 for either the hash symbol ...")."""
    return text.text.count("#") / max(1, len(text.tokens))


def ellipses_per_word(text: Text) -> float:
    """Ellipses for each token (Gopher: "... or the ellipsis")."""
    return (text.text.count("...") + text.text.count("…")) / max(1, len(text.tokens))


def bullet_lines(text: Text) -> float:
    """The share of lines that begin with a bullet (Gopher: "more than 90% of lines starting with a bullet point")."""
    lines = text.text.splitlines()
    return sum(line.lstrip().startswith(("•", "-", "*")) for line in lines) / max(1, len(lines))


def ellipsis_lines(text: Text) -> float:
    """The share of lines that end in an ellipsis (Gopher: "more than 30% ending with an ellipsis")."""
    lines = text.text.splitlines()
    return sum(line.rstrip().endswith(("...", "…")) for line in lines) / max(1, len(lines))


def alphabetic_words(text: Text) -> float:
    """The share of tokens with a letter (Gopher: "80% of words ... contain at least one alphabetic character")."""
    return sum(any(c.isalpha() for c in token) for token in text.tokens) / max(1, len(text.tokens))


def stop_words(text: Text) -> float:
    """Different stop words of the language that has most of them (Gopher: "at least two of the ... English words")."""
    found = {word.lower() for word in text.words}
    return max(len(found & of_language) for of_language in STOP_WORDS.values())


def duplicate_lines(text: Text) -> float:
    """The share of lines that stood before (Gopher, table A1: 0.30)."""
    return _again(LINES.split(text.text))[0]


def duplicate_line_characters(text: Text) -> float:
    """The characters of lines that stood before, of all (Gopher, table A1: 0.20; FineWeb, Penedo et al. 2024: 0.01)."""
    return _again(LINES.split(text.text))[1] / max(1, len(text.text))


def duplicate_paragraphs(text: Text) -> float:
    """The share of paragraphs that stood before (Gopher, table A1: 0.30)."""
    return _again(PARAGRAPH.split(text.text.strip()))[0]


def duplicate_paragraph_characters(text: Text) -> float:
    """The characters of paragraphs that stood before, of all (Gopher, table A1: 0.20)."""
    return _again(PARAGRAPH.split(text.text.strip()))[1] / max(1, len(text.text))


def top_grams(length: int) -> Callable[[Text], float]:
    """The characters of the most frequent run of so many words, of all (Gopher, table A1: 0.20, 0.18, 0.16)."""

    def share(text: Text) -> float:
        runs = Counter(" ".join(text.tokens[i : i + length]) for i in range(len(text.tokens) - length + 1))
        run, times = runs.most_common(1)[0] if runs else ("", 0)
        return len(run) * times / max(1, len(text.text))

    return share


def duplicate_grams(length: int) -> Callable[[Text], float]:
    """The characters of runs of so many words that stood before, of all (Gopher, table A1: 0.15 for 5, 0.10 for 10)."""

    def share(text: Text) -> float:
        seen: set[str] = set()
        place = num_again = 0
        while place <= len(text.tokens) - length:
            run = "".join(text.tokens[place : place + length])
            is_new = run not in seen
            seen.add(run)
            num_again += 0 if is_new else len(run)
            place += 1 if is_new else length
        return num_again / max(1, len(text.text))

    return share


def ended_lines(text: Text) -> float:
    """The share of lines that end as a sentence does (FineWeb, Penedo et al. 2024: at least 0.12)."""
    return sum(line.endswith(ENDS) for line in text.lines) / max(1, len(text.lines))


def short_lines(text: Text) -> float:
    """The share of lines of 30 characters and fewer (FineWeb: at most 0.67)."""
    return sum(len(line) <= SHORT_LINE for line in text.lines) / max(1, len(text.lines))


def newlines_per_word(text: Text) -> float:
    """Ends of lines for each token, many in lists (FineWeb's code: at most 0.3)."""
    return text.text.count("\n") / max(1, len(text.tokens))


def sentences(text: Text) -> float:
    """Sentences in lines that end as one does and have three words (C4, Raffel et al. 2020: "fewer than 5")."""
    whole = (line.strip() for line in text.lines)
    return sum(
        len(SENTENCE.findall(line)) for line in whole if line.endswith(ENDS) and num_words(line) >= MIN_LINE_WORDS
    )


class Rule(NamedTuple):
    """What is counted for a key of data.quality, and the threshold of the paper it is from."""

    measure: Callable[[Text], float]
    usual: float
    paper: str

    def is_broken(self, key: str, value: float, threshold: float) -> bool:
        """Whether a document with this count is left out."""
        return value < threshold if key.startswith("min_") else value > threshold


GOPHER, FINEWEB, C4 = "Gopher", "FineWeb", "C4"
RULES: Mapping[str, Rule] = {
    "min_words": Rule(words, 50, GOPHER),
    "max_words": Rule(words, 100_000, GOPHER),
    "min_mean_word_length": Rule(mean_word_length, 3, GOPHER),
    "max_mean_word_length": Rule(mean_word_length, 10, GOPHER),
    "max_hashes_per_word": Rule(hashes_per_word, 0.1, GOPHER),
    "max_ellipses_per_word": Rule(ellipses_per_word, 0.1, GOPHER),
    "max_bullet_lines": Rule(bullet_lines, 0.9, GOPHER),
    "max_ellipsis_lines": Rule(ellipsis_lines, 0.3, GOPHER),
    "min_alphabetic_words": Rule(alphabetic_words, 0.8, GOPHER),
    "min_stop_words": Rule(stop_words, 2, GOPHER),
    "max_duplicate_lines": Rule(duplicate_lines, 0.3, GOPHER),
    "max_duplicate_line_characters": Rule(duplicate_line_characters, 0.2, GOPHER),
    "max_duplicate_paragraphs": Rule(duplicate_paragraphs, 0.3, GOPHER),
    "max_duplicate_paragraph_characters": Rule(duplicate_paragraph_characters, 0.2, GOPHER),
    "max_top_2_grams": Rule(top_grams(2), 0.2, GOPHER),
    "max_top_3_grams": Rule(top_grams(3), 0.18, GOPHER),
    "max_top_4_grams": Rule(top_grams(4), 0.16, GOPHER),
    "max_duplicate_5_grams": Rule(duplicate_grams(5), 0.15, GOPHER),
    "max_duplicate_10_grams": Rule(duplicate_grams(10), 0.1, GOPHER),
    "min_ended_lines": Rule(ended_lines, 0.12, FINEWEB),
    "max_short_lines": Rule(short_lines, 0.67, FINEWEB),
    "max_newlines_per_word": Rule(newlines_per_word, 0.3, FINEWEB),
    "min_sentences": Rule(sentences, 5, C4),
}
"""By their keys, in the order in which documents are held against them."""

REASON = "quality: "
"""What the reason of a document that is left out begins with; the rule's key follows."""


def broken_rule(text: str, quality: QualityConfig) -> tuple[str, str]:
    """Reason and note for a document that is left out, by the first rule that it fails; "" for one that stays."""
    one = Text(text)
    for key, rule in RULES.items():
        threshold = getattr(quality, key)
        if threshold is not None and rule.is_broken(key, value := rule.measure(one), threshold):
            bound = "at least" if key.startswith("min_") else "at most"
            return f"{REASON}{key}", f"{value:.4g}, not {bound} {threshold:g}"
    return "", ""


def _again(parts: Sequence[str]) -> tuple[float, int]:
    """The share of parts that stood before, and their characters."""
    seen: set[str] = set()
    num_again = num_characters = 0
    for part in parts:
        if part in seen:
            num_again += 1
            num_characters += len(part)
        seen.add(part)
    return num_again / max(1, len(parts)), num_characters
