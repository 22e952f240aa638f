"""Whether an answer says that it cannot tell, in the languages that are known here; a report names them."""

import re
import unicodedata

LANGUAGES = (
    "English", "German", "French", "Spanish", "Portuguese", "Italian", "Dutch", "Swedish", "Polish", "Czech", "Russian",
    "Ukrainian", "Turkish", "Arabic", "Hebrew", "Persian", "Hindi", "Bengali", "Chinese", "Japanese", "Korean", "Thai",
    "Vietnamese", "Indonesian",
)  # fmt: skip

_SPACED = (
    # English
    r"i (?:do not|don't|cannot|can't|could not|couldn't|am not able to|am unable to|was unable to) "
    r"(?:know|answer|find|tell|say|determine)|i(?:'m| am) not (?:sure|certain|aware)"
    r"|(?:is|are|was|were) not (?:mentioned|stated|specified|provided|described|documented|given)"
    r"|(?:isn't|aren't) (?:mentioned|stated|specified|provided|described|documented|given)"
    r"|(?:does not|do not|did not|doesn't|don't) (?:say|state|mention|specify|describe|contain|provide)"
    r"|no (?:information|mention|answer)|not enough information|(?:cannot|can't) be (?:answered|determined|found)"
    r"|unknown|unanswerable",
    # German
    r"(?:das )?weiss ich (?:leider )?nicht|ich weiss (?:es |das )?(?:leider )?nicht"
    r"|kann ich (?:leider )?nicht (?:sagen|beantworten)"
    r"|ich kann (?:das|diese frage|die frage|es)? ?(?:leider )?nicht (?:sagen|beantworten)"
    r"|(?:wird|werden|ist|sind) (?:dort |darin |hier )?nicht (?:erwähnt|genannt|angegeben|beschrieben|bekannt)"
    r"|keine (?:angaben?|informationen?|antwort)|geht (?:daraus |aus .{1,40} )?nicht hervor|unbekannt",
    # French
    r"je (?:ne )?sais pas|je ne (?:peux|suis) pas .{0,25}(?:répondre|dire|trouver|sûr|certain)"
    r"|je n'ai pas (?:d'|l')?information"
    r"|n'(?:est|a) pas (?:été )?(?:mentionn|indiqu|précis|fourni|décri|spécifi)\w*|aucune information"
    r"|pas d'information|inconnue?",
    # Spanish, Portuguese, Italian
    r"no (?:lo )?sé|no puedo (?:responder|contestar|decir|encontrar)|no se (?:menciona|indica|especifica"
    r"|describe|sabe)"
    r"|no hay (?:suficiente )?información|no dispongo de|desconocid[oa]"
    r"|não sei|não (?:posso|consigo) (?:responder|dizer|encontrar)|não (?:é|está|são) (?:mencionad"
    r"|indicad|especificad)[oa]s?"
    r"|não há (?:informaç|menção)\w*|desconhecid[oa]"
    r"|non (?:lo )?so|non posso (?:rispondere|dire)|non (?:è|sono|viene|vengono) (?:menzionat|indicat"
    r"|specificat)[oaei]"
    r"|nessuna informazione|non ci sono informazioni|sconosciut[oa]",
    # Dutch, Swedish
    r"ik weet (?:het |dat )?niet|weet ik niet|ik kan (?:dat |het |deze vraag )?niet (?:zeggen|beantwoorden)"
    r"|(?:wordt|worden|is) niet (?:vermeld|genoemd|gegeven)|geen (?:informatie|antwoord)|onbekend"
    r"|jag vet (?:det )?inte|vet jag inte|jag kan inte (?:svara|säga)|(?:nämns|anges|framgår) inte"
    r"|ingen information|okänt",
    # Polish, Czech
    r"nie wiem|nie mogę (?:odpowiedzieć|znaleźć)|nie (?:jest|została?|zostało) (?:podan|wspomnian|określon)\w+"
    r"|brak (?:informacji|danych)|nie ma informacji|nieznan[ye]"
    r"|nevím|nemohu (?:odpovědět|říci)|není (?:uveden|zmíněn|známo)\w*|žádné informace",
    # Russian, Ukrainian
    r"(?:я )?не знаю|не могу (?:ответить|сказать|найти)|не (?:указан|упомянут|упоминается|сказано|известн|описан)\w*"
    r"|нет (?:информации|сведений|данных|ответа)|неизвестн\w+"
    r"|не можу (?:відповісти|сказати)|не (?:вказан|згадан|відом)\w*|немає (?:інформації|даних)|невідом\w+",
    # Turkish
    r"bilmiyorum|(?:cevap|yanıt)(?:ını|layamıyorum| veremiyorum| veremem)|belirtilme(?:miş|mekte)\w*"
    r"|bilgi (?:yok|bulunm)\w*|bilinmiyor",
    # Arabic, Hebrew, Persian
    r"لا أعرف|لا أعلم|لا (?:أستطيع|يمكنني) (?:الإجابة|الاجابة|تحديد)\w*|لم (?:يذكر|يرد|تذكر|يحدد)\w*"
    r"|غير (?:مذكور|معروف|محدد)\w*|لا توجد معلومات|لا يوجد"
    r"|(?:אני )?לא יודע(?:ת)?|איני יודע(?:ת)?|לא (?:ניתן|יכול(?:ה)?) לענות|לא (?:צוין|מוזכר|נמסר|ידוע)\w*"
    r"|אין (?:מידע|תשובה)"
    r"|نمی ?دانم|نمی ?توانم (?:پاسخ|جواب)|ذکر نشده|مشخص نیست|اطلاعاتی (?:وجود ندارد|نیست)|نامشخص",
    # Vietnamese, Indonesian
    r"(?:tôi )?không biết|không thể (?:trả lời|xác định)|không (?:được|có) (?:đề cập|nêu|thông tin|nhắc)\w*"
    r"|(?:saya )?tidak tahu|tidak (?:dapat|bisa) (?:menjawab|menentukan)|tidak (?:disebutkan|dijelaskan"
    r"|diketahui)|tidak ada informasi",
)  # fmt: skip
_UNSPACED = (
    # Hindi, Bengali: \b knows no marks; Korean: endings follow at once
    r"(?:नहीं|नही) (?:जानता|जानती|पता|मालूम|बता सकता|बता सकती)|पता नहीं|मालूम नहीं|उत्तर नहीं दे"
    r"|(?:उल्लेख|जानकारी) (?:नहीं|उपलब्ध नहीं)"
    r"|জানি না|জানা নেই|উত্তর দিতে পার(?:ি|ছি) না|উল্লেখ (?:নেই|করা হয়নি)|তথ্য নেই"
    r"|모르겠|모릅니다|몰라요|알 수 없|알지 못|(?:답변|대답)할 수 없|(?:언급|명시|기재)되(?:어 있지"
    r"|지) 않|정보가 없|나와 있지 않",
    # Chinese, Japanese, Thai
    r"不知道|不清楚|無法(?:回答|確定|得知)|无法(?:回答|确定|得知)|不能(?:回答|确定)|(?:未|没有"
    r"|沒有)(?:提及|提到|說明|说明|給出|给出|相关信息|相關資訊|答案)"
    r"|未知|不得而知"
    r"|わかりません|分かりません|わからない|分からない|知りません|存じません|答え(?:られ"
    r"|ることができ)(?:ません|ない)|お答えできません"
    r"|(?:記載|記述|言及|説明|情報)(?:は|が|も)?(?:あり|されてい|見つかり)(?:ません|ない)|不明です"
    r"|ไม่ทราบ|ไม่รู้|ไม่สามารถ(?:ตอบ|ระบุ|บอก)|ไม่ได้(?:ระบุ|กล่าวถึง|บอก)|ไม่มี(?:ข้อมูล|คำตอบ|ระบุ)",
)  # fmt: skip
_DECLINES = re.compile(rf"(?<!\w)(?:{'|'.join(_SPACED)})(?!\w)|{'|'.join(_UNSPACED)}")


def declines(answer: str) -> bool:
    """Whether the answer is empty or says in a known language that it cannot answer."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", answer).casefold().replace("’", "'"))
    return not folded.strip() or _DECLINES.search(folded.replace("\u200c", " ")) is not None
