"""How a rule asks for what a document says about a topic: in the language of the passage.

It is told by its script or its function words; English stands for every language that neither tells.
"""

from dataclasses import dataclass

from ray_ft.recipes.chunking.languages import european_language
from ray_ft.words import script_language


@dataclass(frozen=True)
class Wording:
    """Questions about a topic of a document, one to train on and another to ask, with `{document}` and `{topic}`.

    `title` is how a heading that is a question is asked again, `both` what joins two topics.
    """

    trained: str
    asked: str
    title: str
    both: str


ENGLISH = Wording(
    "What does “{document}” say about “{topic}”?",
    "Explain “{topic}” as described in “{document}”.",
    "How does “{document}” answer the question “{topic}”",
    " and ",
)
WORDINGS = {
    "fr": Wording(
        "Que dit « {document} » à propos de « {topic} » ?",
        "Expliquez « {topic} » d'après « {document} ».",
        "Que répond « {document} » à la question « {topic} »",
        " et ",
    ),
    "de": Wording(
        "Was sagt „{document}“ über „{topic}“?",
        "Erklären Sie „{topic}“, wie „{document}“ es beschreibt.",
        "Wie beantwortet „{document}“ die Frage „{topic}“",
        " und ",
    ),
    "es": Wording(
        "¿Qué dice «{document}» sobre «{topic}»?",
        "Explique «{topic}» según «{document}».",
        "¿Qué responde «{document}» a la pregunta «{topic}»?",
        " y ",
    ),
    "pt": Wording(
        "O que diz “{document}” sobre “{topic}”?",
        "Explique “{topic}” segundo “{document}”.",
        "O que responde “{document}” à pergunta “{topic}”?",
        " e ",
    ),
    "tr": Wording(
        "“{document}” belgesi “{topic}” hakkında ne diyor?",
        "“{topic}” konusunu “{document}” belgesine göre açıklayın.",
        "“{document}” belgesi “{topic}” sorusunu nasıl yanıtlıyor?",
        " ve ",
    ),
    "ru": Wording(
        "Что говорится в «{document}» на тему «{topic}»?",
        "Объясните тему «{topic}» по документу «{document}».",
        "Как «{document}» отвечает на вопрос «{topic}»",
        " и ",
    ),
    "zh-Hans": Wording(
        "“{document}”中关于“{topic}”是怎么说的？",
        "请根据“{document}”说明“{topic}”。",
        "“{document}”如何回答“{topic}”这个问题？",
        "和",
    ),
    "zh-Hant": Wording(
        "「{document}」中關於「{topic}」是怎麼說的？",
        "請根據「{document}」說明「{topic}」。",
        "「{document}」如何回答「{topic}」這個問題？",
        "和",
    ),
    "ja": Wording(
        "「{document}」では「{topic}」について何と書かれていますか？",
        "「{document}」に基づいて「{topic}」を説明してください。",
        "「{document}」は「{topic}」という質問にどう答えていますか？",
        "と",
    ),
    "ko": Wording(
        "“{document}”에서 “{topic}”에 대해 무엇이라고 합니까?",
        "“{document}”에 따라 “{topic}” 항목을 설명하십시오.",
        "“{document}”에서는 “{topic}”라는 질문에 어떻게 답합니까?",
        ", ",
    ),
    "th": Wording(
        "“{document}” กล่าวถึง “{topic}” ไว้อย่างไร",
        "จงอธิบาย “{topic}” ตามที่ระบุใน “{document}”",
        "“{document}” ตอบคำถาม “{topic}” ว่าอย่างไร",
        " และ ",
    ),
    "lo": Wording(
        "“{document}” ກ່າວເຖິງ “{topic}” ໄວ້ແນວໃດ?",
        "ຈົ່ງອະທິບາຍ “{topic}” ຕາມ “{document}”",
        "“{document}” ຕອບຄຳຖາມ “{topic}” ແນວໃດ?",
        " ແລະ ",
    ),
    "km": Wording(
        "តើ “{document}” និយាយអ្វីខ្លះអំពី “{topic}”?",
        "ចូរពន្យល់ “{topic}” តាម “{document}”។",
        "តើ “{document}” ឆ្លើយសំណួរ “{topic}” យ៉ាងដូចម្តេច?",
        " និង ",
    ),
    "my": Wording(
        "“{document}” တွင် “{topic}” အကြောင်း မည်သို့ ဖော်ပြထားသနည်း။",
        "“{document}” အရ “{topic}” ကို ရှင်းပြပါ။",
        "“{document}” က “{topic}” မေးခွန်းကို မည်သို့ ဖြေထားသနည်း။",
        " နှင့် ",
    ),
}


def wording_of(text: str) -> Wording:
    """The wording for a passage."""
    return WORDINGS.get(script_language(text) or european_language(text), ENGLISH)
