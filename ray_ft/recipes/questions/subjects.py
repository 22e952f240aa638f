"""Which of a passage's keywords name its subject: those that there is evidence for in how the passage is written.

A phrase is taken where it comes again, stands in a heading, is set as code or marked, or is spelled as names are; what
stands once among other words is there by chance. What is set in listings, tables' labels and credits is not looked at.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from ray_ft.recipes.chunking.chunks import LINK, clean_title, file_name
from ray_ft.recipes.chunking.keywords import STOP_WORDS, keywords
from ray_ft.recipes.chunking.languages import language_of
from ray_ft.recipes.questions.topics import named, says_something
from ray_ft.recipes.terms.of_document import has_terms
from ray_ft.rows import Chunk
from ray_ft.words import num_words

OTHERS = re.compile(r"[^\x00-\x7f]+")  # what is not ASCII
LETTERS = re.compile("[A-Za-z]")
LISTINGS = re.compile(
    r"^[ \t]*```[\s\S]*?(?:^[ \t]*```|\Z)|^(?: {4}|\t)[^\n]*[=(){};<>\[\]|$/][^\n]*$"
    r"|^[ \t]*(?:>>>|\.\.\.|[$%#>]) [^\n]*$",
    re.MULTILINE,
)
COMPOUND = re.compile(r"[^\W\d_]+(?:-[^\W\dA-Z_][^\WA-Z_]*)+")  # what a language joins by a hyphen
HANGUL = re.compile("[가-힣]")  # whose particles stand behind a name without a space
WIDE_SIGNS = re.compile("[，。；：、！？“”「」]")
LABELS = re.compile(r"^:[\w -]{1,30}:[^\n]*$|^[^|\n]{1,40}: \| |^[\w/ -]{1,30}:[ \t]*$", re.MULTILINE)
NUMBERS = re.compile(r"\(#\d+\)|#(?<!\w.)[\w-]+|@(?<!\w.)[\w-]+")
CREDITS = re.compile(
    r"\(#\d+\)|(?<!\w)[#@][\w-]+|(?<![\w.-])[\w.-]++/[\w.-]++#\d+|(?:(?<=\) )|(?<=\)))\[[^\[\]\n]*+\]"
    r"|\b(?:contributed|reported|thanks|written|maintained) (?:by|to):? [^\n]*",
    re.IGNORECASE,
)
BY = tuple(
    f"{word} {to}" for word in ("contributed", "reported", "thanks", "written", "maintained") for to in ("by", "to")
)
MARKED = re.compile(
    r"`(?<!``)(?! )([^`\n]{2,60})`(?!`)|``(?<!```)(?! )([^`\n]{2,60})``(?!`)"
    r"|\*\*([^*\n]{2,60})\*\*|\*(?<![\w*]\*)([^*\n ][^*\n]{1,50})\*(?!\*)"
)
NAME = re.compile(r"[a-z\d][A-Z]|\w\w[_.-]\w\w|^--?[a-z]|^[A-Z]{2}")  # in a word that is spelled as names are
WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
SPACED = {code: " " for code in range(128) if not chr(code).isalnum() and chr(code) != "'"}
CODE_SIGNS = re.compile(r"[={}<>;$\\|,\"'\[\]]|\s.*\s.*\s")
_GENERAL = """
    able above actual addition additional alternative amount answer appropriate april area argument august author
    bar basic basis baz behavior behaviour below best better big bit body boolean breaking bug careful case cases
    caution certain chance change changes choice clarify code comment comments common complete complex correct
    corresponding couple course current data date day days december default description desired detail details
    different difficult document documentation documents easy effect efficient empty end entire entry error errors
    everything exact excellent existing explicit fact family faster feature features february few file files final
    fine first fix fixes fixme following foo form friday full further future general given great half hand head high
    hour hours idea implementation important improvement info information input integer interesting invalid issue
    issues item items january july june kind large last latest level line lines list little local long lot main
    major man march match material matter meaning means message method minor minute minutes missing monday month
    name names natural necessary new next nice none normal note november null number numbers numeric object october
    old only option optional options order original others output page pages part particular parts people perfect
    person place point points possible practice present previous problem problems project proper purpose question
    quick quite rare real realize reason reasons recent recommended regular relevant rest result results right rule
    rules same saturday seconds section sections separate september serious set several short similar simple single
    situation situations size slower small solution somewhat sort source special specific standard start state
    statement step steps string sufficient suitable summary sunday support task term text things third thursday time
    times tip title today todo top total true tuesday type types typical unable usage user users usual valid value
    values variety version versions warning way ways wednesday week whole wide word words work worth year years
    yesterday
"""
GENERAL = frozenset(_GENERAL.split())
"""Words that name no subject by themselves."""
_TITLES = """
    actions additions api apis arguments attributes backwards bugfixes changelog changes commands compatibility
    configuration constraints constructor constructors deprecated deprecations faq fields fixed functions getting
    history installation limitations methods minor miscellaneous new news operators optional overview parameters
    performance properties purpose reference removed required requirements returns settings setup started syntax
    tests usage variables
"""
TITLES = GENERAL | frozenset(_TITLES.split())
"""Words that, by themselves, are the heading of many sections."""
MANY = 0.5  # share of a document's passages that a word of its own subject stands in
MIN_PASSAGES = 6  # of a document, below which that is not asked
MIN_LETTERS = 3
MAX_STEMS = 1 << 16  # words that are remembered
MOSTLY = 0.9  # share of a text's letters that are ASCII in English
MAX_TITLE_WORDS = 7  # of a heading that is a name
LOOKED_AT = 40  # of RAKE's phrases
ENOUGH, FAIR = 2.0, 1.0  # evidence that names a subject, and that may stand beside those that do
SAME_SHARE = 0.7  # of the letters of two words that are forms of one
LONG_TERM = 3  # characters of a term that alone says less
NONE: Mapping[str, int] = {}
MIN_SUBJECTS, MIN_SURE = 3, 2  # fewer tell no passage from another; so many of them have evidence enough


def subjects(
    chunk: Chunk, max_subjects: int, common: frozenset[str] = frozenset(), terms: Mapping[str, int] = NONE
) -> list[str]:
    """The phrases that name what a passage is about, best first; `common` words are those of the whole document.

    The heading above it comes first, where it is a name and no sentence. `terms` are those that a document in another
    language tells, with the number of times that each stands in the passage.
    """
    prose = LABELS.sub(" ", LISTINGS.sub("\n", chunk.text))
    prose = _without_credits(LINK.sub(r" \1 ", prose) if "[" in prose else prose)
    marked = [next(filter(None, m.groups())) for m in MARKED.finditer(prose)]
    marked = [m.strip().rstrip(":") for m in marked if not CODE_SIGNS.search(m) and m.lower() not in STOP_WORDS]
    language = language_of(chunk)
    marked = [m for m in marked if not WIDE_SIGNS.search(m)] if language else marked
    lowered, is_foreign = prose.lower(), _is_foreign(prose, language)
    twice = frozenset(stem for stem, number in Counter(map(_stem, _words(lowered))).items() if number > 1)
    above = _stems_above(tuple(chunk.heading_path))
    found: dict[str, tuple[float, str]] = {}
    best_first = keywords(prose, LOOKED_AT, language or None)
    phrases = [_trimmed(phrase) if " " in phrase else phrase for phrase in best_first]
    if language:
        phrases = [name for phrase in phrases for name in _names_of(phrase, language, lowered)]
    longer = (phrase for phrase in phrases if phrase.count(" ") > 1)
    again = [pair for phrase in longer for pair in _pairs(phrase) if lowered.count(pair.lower()) > 1]
    for rank, phrase in enumerate([*marked, *again, *phrases]):
        key = phrase.lower().strip("`*")
        if len(key) < MIN_LETTERS or key in found:
            continue
        is_marked = rank < len(marked)
        if is_foreign and not is_marked and not (NAME.search(phrase) or _is_above(phrase, above)):
            continue
        score = _evidence(_told(phrase), lowered.count(key) > 1, twice, above, common)
        found[key] = (score + 1.0 if is_marked else score, phrase.strip("`*"))
    for term, number in terms.items():
        found.setdefault(term, (_evidence_of_term(term, number, chunk), term))
    best = sorted((item for item in found.items() if item[1][0] >= FAIR), key=lambda item: -item[1][0])
    chosen = _titles(chunk)[:1]
    spelled = [_spelled(phrase.lower()) for phrase in chosen]
    for key, (score, phrase) in best:
        if len(chosen) == max_subjects or (score < ENOUGH and not MIN_SURE <= len(chosen) < MIN_SUBJECTS):
            break
        if score < ENOUGH and " " not in phrase and key not in terms and not NAME.search(phrase):
            continue
        one = _spelled(key)
        is_said = any(one in other or other in one for other in spelled)
        if not is_said and not (language and any(_is_form(phrase, other) for other in chosen)):
            chosen.append(phrase)
            spelled.append(_spelled(phrase.lower()))
    return chosen


def _without_credits(prose: str) -> str:
    """`CREDITS` takes long to find; where none of its words stands, what is left of it is found by its signs."""
    lowered = prose.lower()
    has_words = any(words in lowered for words in BY) or ")[" in prose or ") [" in prose
    is_sure = prose.isascii() and not has_words and not ("#" in prose and "/" in prose)
    return (NUMBERS if is_sure else CREDITS).sub(" ", prose)


def _titles(chunk: Chunk) -> list[str]:
    """The names among the two headings above a passage, the nearest first; none that any document has."""
    titles = [named(clean_title(title)) for title in reversed(chunk.heading_path[-2:])]
    return [title for title in titles if _is_name(title) and title != file_name(chunk.metadata.get("path", ""))]


@lru_cache(maxsize=1024)
def _is_name(title: str) -> bool:
    words = [word.lower() for word in WORDS.findall(title)]
    is_short = num_words(title) <= MAX_TITLE_WORDS and not title.endswith((".", "?", "!"))
    return is_short and says_something(title) and not all(w in TITLES or w.isdigit() for w in words)


def common_words(chunks: Sequence[Chunk]) -> frozenset[str]:
    """Words that stand in most passages of a document, and tell none of them from the others."""
    if len(chunks) < MIN_PASSAGES:
        return frozenset()
    times: Counter[str] = Counter()
    enough = MANY * len(chunks)
    first = len(chunks) - int(enough)  # words that stand in none of so many passages stand in too few of all
    for chunk in chunks[:first]:
        times.update(set(map(_stem, set(_words(chunk.text.lower())))))
    known = frozenset(times)
    for chunk in chunks[first:]:
        times.update(known.intersection(map(_stem, set(_words(chunk.text.lower())))))
    return frozenset(word for word, n in times.items() if n > enough)


def _words(lowered: str) -> list[str]:
    """What WORDS finds, in a third of the time where nothing but ASCII is."""
    if not lowered.isascii():
        return WORDS.findall(lowered)
    words = lowered.translate(SPACED).split()
    if "'" not in lowered:
        return words
    return [part for word in words for part in (WORDS.findall(word) if "'" in word else (word,))]


def _is_foreign(prose: str, language: str) -> bool:
    """Whether a text is not English: of other languages nobody knows here which words are general."""
    others = "" if prose.isascii() else "".join(OTHERS.findall(prose))
    if any(map(str.isalpha, others)):
        num_others, num_ascii = sum(map(str.isalpha, others)), len(LETTERS.findall(prose))
        if num_ascii < MOSTLY * (num_ascii + num_others):
            return True
    return language != ""


@lru_cache(maxsize=64)
def _stems_above(heading_path: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(_stem, WORDS.findall(" ".join(map(clean_title, heading_path)).lower())))


def _is_above(phrase: str, above: frozenset[str]) -> bool:
    return any(_stem(word) in above for word in WORDS.findall(phrase.lower()) if len(word) > MIN_LETTERS)


def _evidence_of_term(term: str, number: int, chunk: Chunk) -> float:
    """A term of the document is a name; what speaks for it is that it comes again, stands above, and is long."""
    is_above = any(term in title for title in chunk.heading_path)
    return FAIR + (1.0 if number > 1 else 0.0) + (0.5 if is_above else 0.0) + (0.5 if len(term) > LONG_TERM else 0.0)


class _Told(NamedTuple):
    """What a phrase says by itself: its words as they are counted, those that name something, its spelling's evidence.

    General words and numbers name nothing.
    """

    words: tuple[str, ...]
    own: tuple[str, ...]
    evidence: float


@lru_cache(maxsize=1 << 14)
def _told(phrase: str) -> _Told:
    words = tuple(map(_stem, _words(phrase.lower())))
    evidence = 1.0 if " " not in phrase and NAME.search(phrase) else 0.0
    if len(words) == 1 and phrase.isalpha() and not phrase.isupper() and phrase[1:].islower():
        evidence -= 1.0  # a word of the language
    evidence += 1.0 if 1 < len(words) < 4 else 0.0
    return _Told(words, tuple(word for word in words if word not in GENERAL and not word.isdigit()), evidence)


def _evidence(
    told: _Told, comes_again: bool, twice: frozenset[str], above: frozenset[str], common: frozenset[str]
) -> float:
    """`twice` are the words that stand in the passage so often, with or without the plural's ending."""
    words, telling, score = told
    if not common.isdisjoint(telling):
        telling = tuple(word for word in telling if word not in common)
    if not telling:
        return -FAIR  # whatever marks it
    if comes_again:
        score += 2.0
    elif twice.issuperset(telling):
        score += 1.5
    elif words[-1] in telling and words[-1] in twice:
        score += 1.0
    if not above.isdisjoint(telling):
        score += 1.0 if len(words) > 1 or comes_again else 0.5
    return score - 0.75 * (len(words) - len(telling))


def _trimmed(phrase: str) -> str:
    """A phrase without words in front that name nothing: `existing file format`."""
    first, gap, rest = phrase.partition(" ")
    while gap and first.lower() in GENERAL:
        phrase = rest
        first, gap, rest = phrase.partition(" ")
    return phrase


def _names_of(phrase: str, language: str, lowered: str) -> list[str]:
    """The words of a phrase in another language that are spelled as names; all of it where nouns are not told."""
    words = phrase.split(" ")
    if not has_terms(language) and (len(words) == 1 or lowered.count(phrase.lower()) > 1):
        return [phrase]
    return [word for word in words if NAME.search(word) and not COMPOUND.fullmatch(word) and not HANGUL.search(word)]


def _pairs(phrase: str) -> list[str]:
    """Two words each of a longer phrase, which may come again where all of it does not: `bow ramp opens`."""
    words = phrase.split(" ")
    return [" ".join(words[i : i + 2]) for i in range(len(words) - 1)] if len(words) > 2 else []


@lru_cache(maxsize=1 << 14)
def _spelled(phrase: str) -> str:
    """A phrase as it is looked for in others, whatever signs and endings they have: `--pre`, `pre flag`."""
    return f" {' '.join(_told(phrase).words)} "


def _is_form(phrase: str, other: str) -> bool:
    """Whether a phrase of another language stands in another one, or both begin so much alike that they are one."""
    longer = max(len(phrase), len(other))
    alike = zip(phrase.lower(), other.lower(), strict=False)
    same = next((i for i, (a, b) in enumerate(alike) if a != b), min(len(phrase), len(other)))
    return phrase in other or same > max(MIN_LETTERS, SAME_SHARE * longer)


class _Stems(dict[str, str]):
    """By word, the word without the plural's ending, so that both count as one."""

    def __missing__(self, word: str) -> str:
        if len(self) > MAX_STEMS:
            self.clear()
        is_plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
        stem = self[word] = word[:-1] if is_plural else word
        return stem


_stem = _Stems().__getitem__
