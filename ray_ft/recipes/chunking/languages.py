"""Which language a passage is in: by its script, by its function words, or as its document; and these words themselves.

"" stands for English, and for what nothing tells.
"""

import re
from collections import Counter
from functools import lru_cache

from ray_ft.rows import Chunk, Document
from ray_ft.words import script_counts, script_language

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
    "it": """
        al alla alle anche ancora che chi ci come con cui da dal dalla dalle degli dei del della delle dello di dove
        e è essere fare gli hanno il in la le lo loro ma mentre nei nel nella nelle non nonché ogni oppure per perché
        però più può possono prima quale quali quando quella quelle quelli quello questa queste questi questo se
        senza si sia sono stata stato su sua sue sui sul sulla suo tra tutte tutti tutto un una uno viene vengono
    """,
    "nl": """
        aan als bij dan dat de deze die dit door een en er geen had heeft hebben hem het hier hij hoe hun ik indien
        is kan kunnen maar meer met mijn moet moeten na naar niet nog nu of om omdat ons ook op over te tot tussen u
        uit uw van veel voor waar wanneer was wat we welke werd wie wordt worden ze zich zij zijn zo zonder zou
    """,
    "pl": """
        aby albo ale bez będą będzie być był była było by chyba ci co czy dla gdy gdzie go i ich ile ja jak jako jego
        jej jest jeśli jeżeli już każdy kiedy które którego której który których którym którzy lub ma mają może można
        na nad nie niż oraz po pod podczas poza przed przez przy się są ta tak także tam te tego tej ten to tych tylko
        tym w we wszystkich wszystkie z za zawsze że żeby
    """,
    "sv": """
        alla att av bara blir då de den denna deras dess det detta dig din du där efter eller en ett från för genom
        ha har hur här i icke ingen inte kan kommer man med men mer mot måste ni nu när och också om på samt sedan sig
        sin ska skall som så till under upp ut utan vad var vara vid vi vilka vilken vill är över
    """,
    "nb": """
        alle andre at av bare ble bli blir da de den denne der dersom deres det dette disse du eller en enn er et
        etter for fra før gjennom ha har hva hvis hvor hvordan i ikke ingen kan man med men mer mot må når nå og også
        om opp over på seg selv sin skal som så til under ut uten ved vi vil være
    """,
    "fi": """
        ei eikä että eli en hän he ilman itse ja jo joka jolla jonka jos jossa jotka joten kanssa kaikki koska kuin
        kun kuten kuuluu lisäksi me mikä missä mukaan muut myös mutta ne niiden niin nyt nämä ole oli olla on ovat
        pitää se sekä sen siitä sitä tai tällä tämä tämän tästä voi voidaan voit vain vielä
    """,
    "cs": """
        aby aj ale ani až bez být bude budou by byl byla bylo byly co další do ho i jak jako je jeho jejich jejichž
        jen jestliže ještě již jsou která které který kteří kde když lze má mají může mohou na nad ne nebo není než o
        od po pod podle pokud pouze pro proto protože před přes při se si své svůj ta tak také tato tedy ten tento to
        tohoto toto tyto u v ve však všech všechny z za ze že
    """,
    "hu": """
        a az abban akkor alatt amely amelyek ami által annak arra át azok azonban azt be csak de egy egyes egyik el
        én és ez ezek ezt esetén fel ha hogy hogyan illetve is itt ki kell közben között le lehet lesz majd már meg
        mely mert mint mivel most nagyon nem nincs után vagy van vannak volt
    """,
    "ro": """
        a acest aceasta aceste al ale am are asupra atunci au ca că când care cât ce cel cele cu cum dacă dar de deci
        din după este fi fie fără fost iar în între la mai nici nu o pe pentru poate prin sau să se sunt șau și spre
        sub toate un unei unor unui
    """,
    "uk": """
        або але без був була були було бути в вам вас ви від він вона вони все всі де для до його її з за зі і їх й
        коли можна може на над не ні під після по при про та так також те ти тільки то у це цей ця цього цієї чи що
        щоб як яка яке який які якщо
    """,
    "vi": """
        bạn bị bằng các cách cái cần có của cho chỉ chúng cũng đã đang đến để đó được do hay hoặc khi không là lại
        lên mà mỗi một này nào nên nếu như nhưng những phải qua ra rằng rồi sẽ sau tại tất thì theo trên trong trước
        từ và vào vẫn về với
    """,
    "id": """
        ada adalah agar akan anda antara apa atau bagi bahwa bila bisa dalam dan dapat dari dengan di hanya harus ini
        itu jika juga kami karena ke kepada lain lebih maka melalui mereka namun oleh pada saat sebagai sebelum
        sebuah secara sehingga seperti serta setiap setelah sudah suatu telah tersebut tetapi tidak untuk yang
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
FEW_WORDS, FEW_SHARE, ACCENTED_SHARE = 3, 0.08, 0.1  # of function words, and of words with letters that English lacks
MIN_ENGLISH, ENGLISH_SHARE = 3, 0.1  # function words of a passage that is English among others that are not
THE_SPREAD = 200  # characters of English in which there is an article
NUM_PLACES, LENGTH = 16, 240  # of a document that are looked at, and characters of each
SAYS = {"ja": 2.5, "zh": 2.5, "ko": 2.0, "th": 1.25, "lo": 1.25, "km": 1.25, "my": 1.25}
"""How many letters of the alphabet say as much as a character."""
MIN_SAID = 1 / 3  # of what a text says, in a script
ALPHABET = re.compile("[A-Za-z]")
LISTING = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
OF_CODE = re.compile(r"`{1,2}[^`\n]{1,120}`{1,2}|https?://\S+")
OTHER_SCRIPTS = re.compile("[\u0370-\u1fff\ua000-\uabff]")
OTHER = "und"
"""A language in a script of its own that nothing else tells."""


def language_of(chunk: Chunk) -> str:
    """The language of a passage; of one that is neither told nor English, such as a table, that of its document."""
    if told := told_language(chunk.text):
        return told
    of_document = chunk.metadata.get("written_in", "")
    if of_document and not is_english(chunk.text):
        return of_document
    if chunk.text.isascii() or len(OTHER_SCRIPTS.findall(chunk.text)) <= len(ALPHABET.findall(chunk.text)):
        return ""
    return of_document or OTHER


@lru_cache(maxsize=64)
def told_language(text: str) -> str:
    """The language that the script of a text tells, or its function words."""
    if language := script_language(text) or european_language(text):
        return language
    if text.isascii() or is_english(text):
        return ""
    prose = _prose(text)
    return _by_script(prose) or _by_few_words(prose.lower())


def written_in(document: Document) -> dict[str, str]:
    """What a passage's metadata says of its document's language; nothing of English and of code."""
    language = "" if document.language else document_language(document.text)
    return {"written_in": language} if language else {}


@lru_cache(maxsize=16)
def document_language(text: str) -> str:
    """The language of most of a document, by what stands in places from its beginning to its end."""
    step = max(LENGTH, len(text) // NUM_PLACES)
    sample = "\n".join(text[at : at + LENGTH] for at in range(0, len(text), step))
    if sample.count(" the ") * THE_SPREAD >= len(sample):
        return ""  # most documents are told by so little
    sample = _prose(sample)
    return _by_script(sample) or _by_words(sample.lower()) or _by_few_words(sample.lower())


def is_english(text: str) -> bool:
    """Whether a text has function words of English, which stand in none of another language."""
    words = WORD.findall(_prose(text).lower())
    num_english = sum(word in ENGLISH for word in words)
    return num_english >= MIN_ENGLISH and num_english >= ENGLISH_SHARE * len(words)


@lru_cache(maxsize=64)
def european_language(text: str) -> str:
    """The language of BY_LANGUAGE whose words a text has; "" for English and whatever else is written in letters."""
    head = text[:SAMPLE].lower()
    return "" if " the " in head and " of " in head else _by_words(head)


def _by_words(lowered: str) -> str:
    words = WORD.findall(ELISION.sub("de ", lowered) if "'" in lowered or "’" in lowered else lowered)
    known = [word for word in words if word in LANGUAGES_OF]
    num_english = sum(map(ENGLISH.__contains__, words))
    if len(known) < MIN_WORDS or len(known) < MIN_SHARE * len(words) or len(known) <= 2 * num_english:
        return ""  # no language has more
    counts = Counter(language for word in known for language in LANGUAGES_OF[word])
    best = max(sorted(counts), key=lambda language: counts[language])
    enough = len(BY_LANGUAGE[best].intersection(words)) >= MIN_WORDS and counts[best] >= MIN_SHARE * len(words)
    return best if enough and counts[best] > 2 * num_english else ""


def _by_few_words(lowered: str) -> str:
    """The language of a text with letters that English lacks, of which fewer function words are enough."""
    words = WORD.findall(lowered)
    if sum(not word.isascii() for word in words) < max(FEW_WORDS, ACCENTED_SHARE * len(words)):
        return ""
    counts = Counter(language for word in words for language in LANGUAGES_OF.get(word, ()))
    best = max(sorted(counts), key=lambda language: counts[language], default="")
    enough = best and len(BY_LANGUAGE[best].intersection(words)) >= FEW_WORDS and counts[best] >= FEW_SHARE * len(words)
    return best if enough and counts[best] > 2 * sum(map(ENGLISH.__contains__, words)) else ""


def _by_script(text: str) -> str:
    """The language whose script says a good part of a text; a character of Chinese says more than a letter."""
    if text.isascii():
        return ""
    counts = script_counts(text)
    said = sum(SAYS[name] * number for name, number in counts.items())
    is_enough = said > MIN_SAID * (said + len(ALPHABET.findall(text)))
    return script_language(ALPHABET.sub("", text)) if is_enough else ""


def _prose(text: str) -> str:
    """A text without what is set as code."""
    text = LISTING.sub("\n", text) if "```" in text or "~~~" in text else text
    return OF_CODE.sub(" ", text) if "`" in text or "://" in text else text
