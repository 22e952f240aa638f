"""How usual a character is in a language: what tells apart encodings in which the same bytes are other letters.

Frequencies follow from ranks: by 1 / (r + 1.5) where a language adds a few letters to ASCII, by exp(-3.6 r / n) for n
letters of an alphabet of its own. Of ideographs and syllables, which are thousands, the standards themselves name the
usual ones: their first level.
"""

from functools import cache, lru_cache
from math import exp, log

WESTERN = ("de", "fr", "es", "pt", "it", "sv", "da", "is", "nl", "ca", "en")
EASTERN = ("cs", "sk", "pl", "hu", "hr", "ro")
CYRILLIC = ("ru", "uk", "bg", "sr", "be")
LETTERS = {  # beyond ASCII, the most frequent first
    "en": "éïèüöñçáàóíêâ",
    "de": "üäößéà",
    "fr": "éèàêçôâîùûïœëæÿ",
    "es": "óíáéñúüº¿¡ª",
    "pt": "ãçáéíóêõâúôàº",
    "it": "èàòùìéóí",
    "sv": "äåöé",
    "da": "øåæéòüö",
    "is": "áðíþóöéæúý",
    "nl": "ëéïèöüóá",
    "ca": "àéèòóíçïúü·",
    "cs": "íáěéřýžčšůúťďňó",
    "sk": "áíéýčžúšťľňôäďĺŕó",
    "pl": "łęąóżśćńź",
    "hu": "áéöőóíüúű",
    "hr": "čšžćđ",
    "ro": "ăîşţâșț",
    "lt": "ėšųžįčąūę",
    "lv": "āīēšžūņļķģč",
    "et": "äõüöšž",
    "tr": "ıüşğçöâîû",
    "vi": "\u0301\u0300đ\u0323\u0309ưôơâ\u0303êăáàéèíóòúù",
    "el": "αοιετσνηυρπκμλςίόάέγδήωχθφύβξζώψϊϋΐΰ",
    "ru": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "uk": "оанивтіерсклдумпязгьбчхйцїюєжшщфґ",
    "bg": "аиоетнрсвлкдпмзгяъбучжцщхюшьйф",
    "sr": "аоиенрјтсвкудмлпбгзцчћшжхљњђџѓќѕ",
    "be": "аніыоерсктлядумўйпьгбзхчцжшёюэф",
    "he": "יוהלאתרמבשנדחקפעםגכסטצןזךףץ",
    "ar": "اليمنوتربعدفسهكحقجذةأطصشخضغظثىءئإآؤ",
    "fa": "ايرندمهوتبسشكزفگعخقپجحصآلطضچژغظثذیک",
    "th": "านรกอเง่ย้ลมัวดทสีิตะุป็ื์บคหึแจพำชขใูไโผศณญฉธฟถซภ",
}
MARKS = "’“”–„…—‘«»€°§©®™·•\u00a0´№¿¡ºª‚\u200c\u200e"
MARKS_SHARE, ENGLISH_MARKS_SHARE = 0.08, 0.75  # of what is not ASCII
FOREIGN, SIGN, CONTROL = log(1e-4), log(3e-5), log(3e-7)

MIN_ALPHABET, MAX_ALPHABET, STEEPNESS = 22, 60, 3.6

USUAL = {
    "zh-Hans": "的一是不在了有人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而"
    "方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由",
    "zh-Hant": "的一是不在了有人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年動同工也能下過子說產種面而"
    "方後多定行學法所民得經十三之進著等部度家電力裡如水化高自二理起小物現實加量都兩體制機當使點從業本去把性好應開它合還因由",
    "ja": "のいるにたとてはしがでなをかれりらこっすもまくきだあさんうよけせそどえつばおめちわみやほじろ"
    "ンースルトリクアイラドシタレフロ日一大年人本会国中出上分手行者時部自動使用作認確中下開設定方法表示入力選択場合必要機能"
    "サジロマムプグチデバメテカコネパキニオナエツウブミセボビソノハヤモケケュャョィッェ",
    "ko": "이다는을에의가고하한지사기로서를리스인어으도자나시대그정부해일전과수제보여들만구장은있습니세주면오라동상"
    "성비것위되안경모공계재른아물발업무양법회방조연원민체역점교학신결작열통용개선명실각당간영등화분치처소생별설",
}
PUNCTUATION = "，。、；：？！（）「」『』《》・ー—…“”‘’\u3000％／－～"
LEVEL = {"zh-Hans": "gb2312", "zh-Hant": "big5", "ja": "shift_jis", "ko": "euc_kr"}
FIRST_LEVEL = {  # lead bytes, and how many characters they are
    "zh-Hans": (0xB0, 0xD7, 3755), "zh-Hant": (0xA4, 0xC6, 5401),
    "ja": (0x88, 0x98, 2965), "ko": (0xB0, 0xC8, 2350),
}  # fmt: skip
SHARES = {"zh-Hans": 0.5, "zh-Hant": 0.5, "ja": 0.72, "ko": 0.6}  # of the usual ones


@cache
def logs_of(language: str) -> dict[str, float]:
    """Log of how often each letter or mark stands among what is not ASCII, by its lower case."""
    letters = LETTERS[language]
    marks = ENGLISH_MARKS_SHARE if language == "en" else MARKS_SHARE
    found = _ranked(MARKS, marks)
    found |= _ranked(letters, 1 - marks)
    return found


@cache
def _all_letters() -> frozenset[str]:
    return frozenset(MARKS) | {c for letters in LETTERS.values() for one in letters for c in (one, one.upper())}


def is_usual(character: str) -> bool:
    """Whether a character is a letter or a mark of one of the languages."""
    return character in _all_letters()


@lru_cache(maxsize=1 << 16)
def log_of_ideograph(character: str, language: str) -> float:
    """Log of how often a character stands in a language of thousands of characters."""
    usual = _usual(language)
    if character in usual:
        return usual[character]
    code = ord(character)
    if 0x3040 <= code <= 0x30FF:
        return log(0.02 / 160) if language == "ja" else log(1e-6)
    if 0xAC00 <= code <= 0xD7A3 and language != "ko":
        return log(1e-8)
    try:
        made = character.encode(LEVEL[language])
    except UnicodeEncodeError:
        return log(1e-8) if 0x3400 <= code <= 0x9FFF or 0xAC00 <= code <= 0xD7A3 else log(1e-9)
    lead, last, size = FIRST_LEVEL[language]
    if len(made) < 2:
        return log(1e-6)  # kana of half the width
    if lead <= made[0] <= last:
        return log((0.9 - SHARES[language]) / size)
    return log(1e-6) if 0x3400 <= code <= 0x9FFF else log(2e-6)


@cache
def _usual(language: str) -> dict[str, float]:
    return _ranked(PUNCTUATION, 0.1) | _ranked(USUAL[language], SHARES[language])


def _ranked(characters: str, share: float) -> dict[str, float]:
    """Logs of a share that is divided among characters by their rank."""
    order = dict.fromkeys(characters)
    is_alphabet = MIN_ALPHABET <= len(order) <= MAX_ALPHABET
    weights = {
        c: exp(-STEEPNESS * rank / len(order)) if is_alphabet else 1 / (rank + 1.5) for rank, c in enumerate(order)
    }
    whole = sum(weights.values())
    return {c: log(share * weight / whole) for c, weight in weights.items()}
