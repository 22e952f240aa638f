"""What a passage is about, in words: its heading where that says something, else its keywords.

A heading that says nothing by itself ("Notes", "See also", "3.2.1", a whole sentence) is no topic to be asked about.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ray_ft.recipes.chunking.chunks import clean_title
from ray_ft.recipes.chunking.keywords import keywords
from ray_ft.recipes.questions.wordings import wording_of
from ray_ft.rows import Chunk
from ray_ft.words import num_words

NUMBERING = re.compile(
    r"^(?:(?-i:[A-Z])\.\s+(?=\S{2})"
    r"|(?:(?:chapter|section|part|appendix|annex)\s+(?:\d+|[A-Z]|[IVX]+)[.:]|[A-Z](?:\.\d+)+\.?|(?:\d+\.)*\d+\.?)\s+)(?=\S)",
    re.IGNORECASE,
)
OTHER_NUMBERING = re.compile(
    r"^(?:第\s*[\d一二三四五六七八九十百零〇]+\s*[章節节部編编篇][\s.:：、]*|[附付][录録錄]\s*[A-Z\d一二三四五六七八九十]+[\s.:：、]+"
    r"|제?\s*\d+\s*[장절부편][\s.:：]+|부록\s*[A-Z\d]+[\s.:：]+|บทที่\s*[\d๐-๙]+[\s.:]+|ភាគ\s*[\d០-៩]+[\s.:]+"
    r"|(?:kapitel|abschnitt|teil|anhang|chapitre|annexe|partie|capítulo|apéndice|apêndice|anexo|parte|capitolo|appendice"
    r"|hoofdstuk|bijlage|deel|rozdział|dodatek|глава|раздел|часть|приложение|розділ|додаток|bölüm|kapitola|příloha"
    r"|bilaga|vedlegg|tillæg|luku|liite|fejezet|capitolul|chương|bab)\s+(?:\d+|[A-ZА-Я]|[IVX]+)[.:]\s+)(?=\S)",
    re.IGNORECASE,
)
"""Of chapters in other languages than English."""
SUFFIX = re.compile(r"(?<=\S)[\s:–—-]{1,3}(?:manual page|man page|documentation)$", re.IGNORECASE)
BULLETS, DASHES = ("•", "◦", "▪", "‣"), ("-", "−", "–")
MAX_TITLE_WORDS, MAX_TITLE = 14, 120
MAX_SENTENCE_WORDS = 5  # of a title that ends with a full stop
NUM_KEYWORDS = 8  # looked at for a passage's own topic
_EMPTY = """
    acknowledgements acknowledgments appendix author authors bibliography bugs changelog changes colophon
    contents copyright credits detail details discussion example examples feedback footnotes general history index
    introduction legal licence license links miscellaneous misc more note notes other others preface references
    related remark remarks reserved section sections summary tbd tip tips todo untitled warning warnings
    name synopsis git topics directives caution important sujets konular temas themen sommaire résumé özet resumen
    exemple exemples beispiel beispiele ejemplo ejemplos exemplo exemplos örnek örnekler 예제 例
    注意 注释 注記 備考 备注 備註 警告 提示 说明 說明 目录 目錄 目次 附录 附錄 付録 参考文献 參考文獻 前言 序言 まえがき
    はじめに 序文 著者 作者 비고 주의 목차 부록 머리말
    저자 참고문헌 예시 ตัวอย่าง สารบัญ บทนำ หมายเหตุ ภาคผนวก ឧទាហរណ៍ មាតិកា
    einleitung inhaltsverzeichnis inhalt anmerkung anmerkungen hinweis hinweise warnung autor autoren literatur
    sujets remarque remarques avertissement auteur auteurs bibliographie nota notas advertencia autores índice
    bibliografía introducción introdução aviso bibliografia esempio esempi introduzione indice autore autori
    avvertenza voorbeeld voorbeelden inleiding inhoudsopgave opmerking opmerkingen waarschuwing auteursrecht
    przykład przykłady wstęp wprowadzenie uwaga uwagi ostrzeżenie autorzy spis пример примеры введение содержание
    оглавление примечание примечания предупреждение автор авторы литература giriş notlar uyarı yazarlar
    zusammenfassung sumário resumo 개요 요약 概要 要約 主题 참고 参照 トピック ディレクティブ
"""
EMPTY = frozenset(_EMPTY.split()) | {
    "see also", "further reading", "table of contents", "more information", "learn more", "next steps", "read more",
    "related reading", "additional resources", "what's next", "what’s next", "related pages", "related topics",
    "on this page", "voir aussi", "siehe auch", "ver también", "ayrıca bakınız", "veja também",
    "se også", "zie ook", "vedi anche", "vedere anche", "zobacz także", "zobacz też", "zobacz również", "spis treści",
    "см. также", "смотрите также", "см также", "véase también", "consulte também",
    "另请参阅", "另見", "另见", "参见", "參見",
    "関連項目", "関連情報", "같이 보기", "참고 항목",
    "관련 항목", "ดูเพิ่มเติม", "weitere informationen", "mehr informationen",
    "what's next?", "what’s next?", "what next?",
}  # fmt: skip
DATE_OR_VERSION = re.compile(
    r"(?:v|version|release|rev\.?|r)?\s{0,2}[\d._/-]+(?:\s{0,2}(?:alpha|beta|rc|a|b)\s{0,2}\d{0,3})?", re.IGNORECASE
)

LISTS_CHANGES = re.compile(r"(?:change|history|news|release)[\w.-]{0,30}$", re.IGNORECASE)  # names of files
RELEASE = re.compile(
    r"(?:[\w-]{1,30}\s)?\[?v?\d{1,4}\.\d{1,4}(?:\.\d{1,6})?[\w.+-]{0,20}\]?"
    r"(?:\s{0,3}[-–—/:,]?\s{0,3}[(\[]?\d{4}-\d\d-\d\d[)\]]?)?"
)


_UNNAMED = """
    api changelog changes contributing documentation faq guide guidelines index installation install introduction
    license news notes overview performance quickstart readme reference security settings support tests
    testing todo usage utilities
"""
UNNAMED = frozenset(_UNNAMED.split()) | {
    "getting started", "quick start", "user guide", "release notes", "contributing guidelines", "code of conduct",
}  # fmt: skip
"""Titles and names of files that do not say what they are about: the file's path names it."""


@dataclass(frozen=True)
class Topic:
    """The title of a passage, its topic in words, and the title of its document.

    `within` is the title above where that is a section's and says something; `is_told` is False where no heading tells
    the topic, and keywords stand for it.
    """

    title: str
    words: str
    document: str
    within: str = ""
    is_told: bool = True


def topic_of(chunk: Chunk) -> Topic | None:
    """The topic of a passage; None where its heading says nothing that could be asked about."""
    path = [clean_title(p) for p in chunk.heading_path] or [chunk.metadata.get("path", "the document")]
    file = chunk.metadata.get("path", "")
    if LISTS_CHANGES.search(file) and any(map(RELEASE.fullmatch, path)):
        is_whole = "part" not in chunk.metadata and RELEASE.fullmatch(path[-1])
        return Topic(path[-1], path[-1], file) if is_whole else None
    if (name := chunk.metadata.get("file", "")) and path[0] != name:  # of no chapter's name
        path = [file or name, *path]
    title, document = named(path[-1]), named(path[0]) if path[0] != file else file
    if document.lower().partition(".")[0] in UNNAMED:
        document = file or document
    if len(path) == 1:
        found = keywords(chunk.text, 2)
        return Topic(title, wording_of(chunk).both.join(found), document, is_told=False) if found else None
    if not says_something(title):
        return None
    above = named(path[-2]) if len(path) > 2 and says_something(named(path[-2])) else ""
    return Topic(title, f"{title} ({above})" if above else title, document, above)


@lru_cache(maxsize=4096)
def named(title: str) -> str:
    """A title as one would name it: without its number, and what says that it is one."""
    return SUFFIX.sub("", NUMBERING.sub("", OTHER_NUMBERING.sub("", title))).rstrip(": ：")


def says_something(title: str) -> bool:
    """Whether a heading is a topic: words that are no sentence, no date, no version, and not such as any text has."""
    size = num_words(title)
    return (
        sum(map(str.isalpha, title)) >= 2
        and size <= MAX_TITLE_WORDS
        and len(title) <= MAX_TITLE
        and not (title.endswith((".", ",", ";")) and size > MAX_SENTENCE_WORDS)
        and title.lower().strip("*_ .:") not in EMPTY
        and not DATE_OR_VERSION.fullmatch(title)
        and not is_torn(title)
    )


def is_torn(title: str) -> bool:
    """Whether a title is none: an item of a list, the end of a sentence, a line of a synopsis."""
    is_synopsis = title.startswith(DASHES) and "[" in title and " " in title
    return title.startswith(BULLETS) or is_synopsis or (title.endswith(".") and title[:1].islower())


def own_topics(chunks: Sequence[Chunk]) -> dict[str, str]:
    """For each of several passages below one heading, by its id: what it is about and the others are not, each other.

    Keywords that are no other passage's come first; where there are none that tell it apart, "" stands.
    """
    found = [_keywords_below(chunk) for chunk in chunks]
    times = Counter(word.lower() for words in found for word in words)
    told: dict[str, str] = {}
    used: set[str] = set()
    for chunk, words in zip(chunks, found, strict=True):
        alone = [word for word in words if times[word.lower()] == 1] or words
        pairs = (alone[i : i + 2] for i in range(max(1, len(alone) - 1)))
        topics = (wording_of(chunk).both.join(pair) for pair in pairs)
        told[chunk.id] = next((topic for topic in topics if topic.lower() not in used), "")
        used.add(told[chunk.id].lower())
    return told


def _keywords_below(chunk: Chunk) -> list[str]:
    """The keywords of a passage that its headings do not say already, each in one spelling."""
    above = " ".join(chunk.heading_path).lower()
    words = {word.lower(): word for word in keywords(chunk.text, NUM_KEYWORDS)}
    return [word for lowered, word in words.items() if lowered not in above]
