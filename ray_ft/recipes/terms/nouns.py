"""Nouns of documents in languages with spaces that are not English, by the words that stand in front of them.

An article tells a noun in the languages of Western Europe, a preposition in Slavic ones, a capital within a sentence
in German, and a particle at its end in Korean. Words that no such evidence speaks for are verbs as often as nouns.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

MIN_TIMES = 3  # that a noun stands in a document
MIN_SHARE = 0.3  # of its occurrences that are told to be a noun's
WORD = re.compile(r"[^\W\d_](?:[\w]|[-·’'](?=\w))*")
GERMAN = re.compile(r"(?<=[a-zäöüß,(„«] )[A-ZÄÖÜ][\wäöüß]*(?:-[\wäöüß]+)*(?<=\w{4})")
_IN_FRONT = {
    "fr": "le la les un une des du au aux ce cet cette ces votre vos son sa ses leur leurs chaque",
    "es": "el la los las un una unos unas del al este esta estos estas su sus cada",
    "pt": "o a os as um uma uns umas do da dos das no na nos nas ao à aos às este esta seu sua cada",
    "it": "il lo la i gli le un uno una del dello della dei degli delle nel nella al alla dal dalla sul sulla questo "
    "questa ogni",
    "nl": "de het een deze dit die dat uw elke elk",
    "da": "en et den det de denne dette hver",
    "nb": "en et ei den det de denne dette hver",
    "sv": "en ett den det de denna detta varje",
    "hu": "a az egy",
    "ru": "в на из для к с по от о об при без через между до из-за",
    "uk": "в у на з для до від про при без через між",
    "pl": "w na z do dla od o przy bez przez między po pod",
    "cs": "v na z do pro od o při bez přes mezi po pod",
}
IN_FRONT = {language: frozenset(words.split()) for language, words in _IN_FRONT.items()}
NAME = r"(?<![\w'’-])[^\W\d_]{4,30} %s(?:(?<=['’])| )[^\W\d_]{4,30}(?![\w-])"
JOINED = {
    "fr": re.compile(NAME % r"(?:de|d['’]|à|en)"),
    "es": re.compile(NAME % "(?:de|del)"),
    "pt": re.compile(NAME % "(?:de|do|da)"),
    "it": re.compile(NAME % "(?:di|del|della|dei)"),
}
"""Two nouns that a preposition joins into a name."""
ARTICLE = re.compile(r"\b(?:l|dell|all|nell|dall|sull|un|d)['’](?=\w)", re.IGNORECASE)
ADJECTIVES = {
    "nl": re.compile(r"e$|^(?:op|aan|uit|in)?ge\w+(?:d|t|en)$"),
    "ru": re.compile(r"(?:[оеы]го|[ое]му|[ыи]м|[ыи]х|[ыи]ми|ую|юю|[ыи]й|[ая]я|[ое]е|[ыи]е|[ое]й|[ое]м)$"),
    "uk": re.compile(r"(?:ого|ому|им|их|ими|ий|ій|ою|ої|ою)$"),
    "pl": re.compile(r"(?:ego|emu|ych|ich|ym|im|ymi|imi|ej|y|ą|e)$"),
    "cs": re.compile(r"(?:ého|ému|ých|ým|ými|é|ý|á|ou|ím|ích)$"),
}
PARTICLE = re.compile("(?:에서는|으로는|에서|에게|으로|까지|부터|은|는|이|가|을|를|의|에|로|와|과|도)$")
HANGUL = re.compile("[가-힣]+")
VERBAL = re.compile(
    "(?:다|요|하|되|시키|있|없|않|같|위해|통해|대해|대한|위한|하고|하여|해서|하면|되면|되어|지|게|기|한|된|할|될|인|며|고|면|서|야|어|아|는|은|던)$"
)
_GENERAL = """
    abschnitt anfang anzahl art beispiel beispiele bereich datei dateien einstellung einstellungen ende fall fälle
    folge form fragen funktion funktionen gegensatz grund gründen hilfe hinweis hinweise information informationen
    kapitel liste möglichkeit möglichkeiten namen nummer problem probleme rahmen reihe reihenfolge schritt schritte
    seite seiten stelle system tabelle teil text typ verwendung version weise wert werte wort zeile zeilen zeit ziel
    zweck kapitels avance ci-dessus mise utilisation usage installation aide autre autres besoin but cas chapitre
    chose choses commande début dernier dernière exemple exemples façon fichier fichiers fin fois forme ligne lignes
    manière même mêmes moment nom nombre nouveau nouvelle option options ordre page partie place plupart plus point
    premier première problème section seconde seul seule suite suivant suivante suivantes suivants système tableau
    temps type utilisateur valeur archivo archivos ayuda capítulo caso casos comando ejemplo ejemplos final forma
    hora lado línea líneas lista lugar manera mayoría mismo misma modo momento número nuevo nueva opción opciones
    orden otro otra página parte primer primera problema punto resto sección segundo segunda siguiente siguientes
    sistema tabla tiempo tipo última último usuario uso valor versión vez arquivo arquivos ficheiro ficheiros ajuda
    exemplo exemplos fim linha linhas maioria mesmo mesma nome novo nova opção opções ordem outro outra primeiro
    primeira ponto seguinte seguintes seção secção tabela tempo utilizador usuário versão altro altra capitolo casi
    elenco esempio fine linea maggior numero nuovo nuova opzione ordine pagina primo prima riga sezione secondo
    seconda seguente seguenti stesso stessa tabella utente ultimo ultima valore versione volta door naam uitvoeren
    kunnen worden aantal andere bestand bestanden deel eerste einde geval gebruik gebruiker hoofdstuk keer laatste
    lijst manier meeste nieuwe optie opties paragraaf plaats probleem regel soort systeem tabel tekst tijd versie
    volgende voorbeeld waarde zelfde других другой помощью примера случае случая случай файл файла файле файлы
    файлов глава главе раздел раздела разделе версия версии время времени имя имени строка строки строке список
    списка системе системы систему того этого этом тому plik pliku pliki plików przypadku przykład przykładu wersji
    wersja czasie czas nazwy nazwa strony strona linii listy systemu użytkownika sposób pomocą celu razie 경우 때문
    방법 다음 사용 사용자 정보 내용 부분 예제 예 것 수 등 후 전 중 때 위 아래 파일 명령 옵션 값 이름 이것 그것 여기
    모든 다른 각 해당 현재 기본 설명 참조 이상 이하 이후 이전 문제 버전 시스템 대상 종류 형식 표시 선택 설정 입력
    확인
"""
GENERAL = frozenset(_GENERAL.split())
"""Words that name no subject by themselves."""


def known(language: str) -> bool:
    """Whether nouns of a language are told."""
    return language in ("de", "ko") or language in IN_FRONT


def spaced_nouns(texts: Iterable[str], language: str) -> dict[str, int]:
    """The nouns of a document, and what joins two of them, with the number of times that each stands in it."""
    if language == "ko":
        return _korean(texts)
    times: Counter[str] = Counter()
    as_nouns: Counter[str] = Counter()
    joined: Counter[str] = Counter()
    for text in texts:
        plain = ARTICLE.sub("la ", text) if language in ("fr", "it") else text
        words = WORD.findall(plain)
        times.update(words)
        if language == "de":
            as_nouns.update(GERMAN.findall(plain))
            continue
        in_front, adjective = IN_FRONT[language], ADJECTIVES.get(language)
        as_nouns.update(
            word
            for before, word in pairwise(words)
            if before.lower() in in_front and len(word) > 3 and not (adjective and adjective.search(word))
        )
        if (joint := JOINED.get(language)) is not None:
            joined.update(joint.findall(text))
    nouns = {
        word: times[word]
        for word, number in as_nouns.items()
        if times[word] >= MIN_TIMES and number >= MIN_SHARE * times[word] and word.lower() not in GENERAL
    }
    names = {
        name: number
        for name, number in joined.items()
        if number >= MIN_TIMES and as_nouns[first := name.partition(" ")[0]] >= MIN_SHARE * times[first]
    }
    return nouns | names


def counted(terms: Mapping[str, int], text: str) -> dict[str, int]:
    """How often terms stand in a text as words of their own."""
    words = Counter(WORD.findall(ARTICLE.sub("la ", text)))
    counts = {term: words[term] if " " not in term else text.count(term) for term in terms}
    return {term: number for term, number in counts.items() if number}


def counted_korean(terms: Mapping[str, int], text: str) -> dict[str, int]:
    """As `counted`, where a particle follows a noun without a space."""
    words = Counter(PARTICLE.sub("", word) for word in HANGUL.findall(text))
    counts = {term: words[term] if " " not in term else text.count(term) for term in terms}
    return {term: number for term, number in counts.items() if number}


def _korean(texts: Iterable[str]) -> dict[str, int]:
    """Words that particles follow, and two in a row of which the second is one."""
    times: Counter[str] = Counter()
    as_nouns: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for text in texts:
        words = HANGUL.findall(text)
        stems = [PARTICLE.sub("", word) for word in words]
        times.update(stems)
        as_nouns.update(stem for word, stem in zip(words, stems, strict=True) if word != stem)
        for before, stem in zip(words, stems[1:], strict=False):
            if f"{before} {stem}" in text and PARTICLE.search(before) is None:
                pairs[f"{before} {stem}"] += 1
    is_noun = {
        stem
        for stem, number in as_nouns.items()
        if number >= MIN_SHARE * times[stem] and len(stem) > 1 and not VERBAL.search(stem)
    }
    nouns = {s: times[s] for s in is_noun if times[s] >= MIN_TIMES and s not in GENERAL}
    return nouns | {
        pair: number
        for pair, number in pairs.items()
        if number >= MIN_TIMES
        and pair.partition(" ")[2] in is_noun
        and len(first := pair.partition(" ")[0]) > 1
        and not VERBAL.search(first)
        and first not in GENERAL
    }
