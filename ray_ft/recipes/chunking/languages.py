"""Which European language a text is in, by its function words, and these words themselves.

Scripts of their own are told by `ray_ft.words.script_language`; English stands for what is not told.
"""

import re
from collections import Counter
from functools import lru_cache

_FUNCTION_WORDS = {
    "fr": """
        à afin ai ainsi alors après au aucun aucune aussi autre autres aux avant avec car ce ceci cela celle celles
        celui ces cet cette ceux chaque comme dans de depuis des deux doit doivent donc dont du elle elles en entre
        est et été être eux il ils la le les leur leurs lors lorsque mais même ne ni non nos notre nous on ont ou où
        par pas pendant peut peuvent plus pour puis qu quand que quel quelle quels quelles qui sa sans se selon sera
        seront ses si soit son sont sous sur tous tout toute toutes très un une vers vos votre vous
    """,
    "de": """
        aber alle als also am an auch auf aus bei beim bis da dann das daß dass dem den der des die dies diese
        diesem diesen dieser dieses durch ein eine einem einen einer eines er es für haben hat hier ihr ihre im in
        ist jede jeder jedes kann kein keine können man mehr mit muss müssen nach nicht noch nur ob oder ohne sehr
        sein sich sie sind so soll sollte sollten über um und unter vom von vor war was wenn wer werden wie wir wird
        wurde wurden zu zum zur zwischen
    """,
    "es": """
        al algunas algunos aquí aunque cada como con cual cuando de del desde donde e el ella ellos en entre era es
        esa ese eso está están esta estas este esto estos ha han hasta hay la las le les lo los más muy no nos o
        otra otras otro otros para pero por porque puede pueden que quien se sea según ser si sin sobre son su sus
        también tanto tiene tienen toda todas todo todos un una unas uno unos usted y ya
    """,
    "pt": """
        a ainda ao aos apenas as até cada com como da das de desde do dos e ela ele eles em entre era essa esse esta
        está estão este foi há isso isto já mais mas mesmo muito na nas não no nos o onde os ou outra outras outro
        outros para pela pelo pelos pode podem por porque qual quando que quem são se seja sem ser seu sua suas seus
        sobre também tem têm toda todas todo todos um uma umas uns você
    """,
    "tr": """
        ama ancak aynı bazı bir böyle bu bunlar bunu bunun çok da daha de değil diğer eder edilir edilmiş en eğer
        fakat gibi göre hangi her hiç için içinde ile ise kadar kendi ki mı mi mu mü nasıl ne o olabilir olan olarak
        olduğu olduğunu olması olmak olur önce sadece sonra şekilde şu tarafından tüm üzere üzerinde var ve veya
        veyahut yalnızca yapılır yok zaman
    """,
    "ru": """
        а без более бы был была были было быть в вам вас во вот все всех вы где для до его ее если есть еще же за и
        из или их к как когда которая которого которое которой которые который которых ли между мне могут может
        можно на не нет ни но о об он она они от по после при с со так также то того только у уже чем через что
        чтобы эта эти это этого этой этом этот
    """,
    "da": """
        af alle at blev da de dem den denne der deres det dette dog du eller en end er et efter for fra går har hvad
        hvis hvor i ikke ind kan kunne man med men mere når nu og også om op over på så sig sin skal skulle som til
        ud under vi vil ville være
    """,
}
BY_LANGUAGE = {language: frozenset(words.split()) for language, words in _FUNCTION_WORDS.items()}
"""By language: words that no keyword begins or ends with, and that tell the language."""
LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in BY_LANGUAGE.items():
    for _word in _words:
        LANGUAGES_OF.setdefault(_word, []).append(_language)
ENGLISH = frozenset({"the", "of", "and", "to", "is", "that", "for", "with", "this", "are", "be", "or", "by", "it"})
WORD = re.compile(r"[^\W\d_]+")
ELISION = re.compile(r"\b(?:[cdjlmnst]|qu|lorsqu|puisqu|jusqu)['’](?=\w)", re.IGNORECASE)
"""A French article or pronoun in front of its word."""
SAMPLE = 600  # characters that are looked at
MIN_WORDS, MIN_SHARE = 5, 0.2  # different function words of the language, and their share of all words


@lru_cache(maxsize=64)
def european_language(text: str) -> str:
    """fr, de, es, pt, tr, ru or da; "" for English and whatever else is written in letters."""
    head = text[:SAMPLE].lower()
    if " the " in head and " of " in head:
        return ""
    words = WORD.findall(ELISION.sub("de ", head) if "'" in head or "’" in head else head)
    known = [word for word in words if word in LANGUAGES_OF]
    num_english = sum(map(ENGLISH.__contains__, words))
    if len(known) < MIN_WORDS or len(known) < MIN_SHARE * len(words) or len(known) <= 2 * num_english:
        return ""  # no language has more
    counts = Counter(language for word in known for language in LANGUAGES_OF[word])
    best = max(sorted(counts), key=lambda language: counts[language])
    enough = len(BY_LANGUAGE[best].intersection(words)) >= MIN_WORDS and counts[best] >= MIN_SHARE * len(words)
    return best if enough and counts[best] > 2 * num_english else ""
