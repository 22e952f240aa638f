"""What a prompt says around the title of a document and a topic: in the language of the passage.

It is told by its script, its function words or its document; a language without wordings of its own has prompts that
need no grammar, and English stands for what nothing tells. Each is right with any title and any noun.
"""

import re
from dataclasses import dataclass

from ray_ft.recipes.chunking.languages import language_of
from ray_ft.rows import Chunk


@dataclass(frozen=True)
class Wording:
    """Prompts about a topic of a document, with `{document}`, `{topic}` and the names that the others have."""

    trained: str
    """A question to train on, and `asked` another to ask."""
    asked: str
    within: str
    """As `trained`, of a topic `{within}` a section."""
    title: str
    """How a heading that is a question is asked again."""
    keyword: str
    """For a passage, by its `{topics}`."""
    section: str
    """For a `{section}` of a file at `{path}`; `beginning` for its first part, `about` for one about its `{terms}`."""
    beginning: str
    about: str
    first: str
    """As `about`, for the first part of what is said."""
    both: str
    """What joins two topics."""
    quoted: str = "“{}”"
    comma: str = ", "

    def listed(self, terms: str) -> str:
        """Terms that stand in English quotes, as this language lists and quotes them."""
        if self is ENGLISH:
            return terms
        names = [self.quoted.format(name) for name in QUOTED.findall(terms)]
        return self.both.join([self.comma.join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


QUOTED = re.compile("“([^“”]*+)”")
ENGLISH = Wording(
    trained="What does “{document}” say about “{topic}”?",
    asked="Explain “{topic}” as described in “{document}”.",
    within="What does the section “{within}” of “{document}” say about “{topic}”?",
    title="How does “{document}” answer the question “{topic}”",
    keyword="Write a passage about: {topics}.",
    section="Write the section “{section}” of {path}.",
    beginning="Write the beginning of the section “{section}” of {path}.",
    about="Write what the section “{section}” of {path} says about {terms}.",
    first="Write the beginning of what the section “{section}” of {path} says about {terms}.",
    both=" and ",
)
PLAIN = Wording(
    trained="“{document}”: “{topic}”",
    asked="“{topic}” (“{document}”)",
    within="“{document}”, “{within}”: “{topic}”",
    title="“{document}”: “{topic}”",
    keyword="{topics}.",
    section="{path}: “{section}”",
    beginning="{path}: “{section}” …",
    about="{path}: “{section}”: {terms}",
    first="{path}: “{section}”: {terms} …",
    both=", ",
)
"""For languages that no wording is written for."""
WORDINGS = {
    "fr": Wording(
        trained="Que dit « {document} » à propos de « {topic} » ?",
        asked="Expliquez « {topic} » d'après « {document} ».",
        within="Que dit la section « {within} » de « {document} » à propos de « {topic} » ?",
        title="Que répond « {document} » à la question « {topic} »",
        keyword="Rédigez un passage sur les sujets suivants : {topics}.",
        section="Rédigez la section « {section} » de {path}.",
        beginning="Rédigez le début de la section « {section} » de {path}.",
        about="Rédigez ce que la section « {section} » de {path} dit à propos de {terms}.",
        first="Rédigez le début de ce que la section « {section} » de {path} dit à propos de {terms}.",
        both=" et ",
        quoted="« {} »",
    ),
    "de": Wording(
        trained="Was sagt „{document}“ über „{topic}“?",
        asked="Erklären Sie „{topic}“, wie „{document}“ es beschreibt.",
        within="Was sagt der Abschnitt „{within}“ von „{document}“ über „{topic}“?",
        title="Wie beantwortet „{document}“ die Frage „{topic}“",
        keyword="Schreiben Sie einen Text zu diesen Themen: {topics}.",
        section="Schreiben Sie den Abschnitt „{section}“ von {path}.",
        beginning="Schreiben Sie den Anfang des Abschnitts „{section}“ von {path}.",
        about="Schreiben Sie, was der Abschnitt „{section}“ von {path} über {terms} sagt.",
        first="Schreiben Sie den Anfang dessen, was der Abschnitt „{section}“ von {path} über {terms} sagt.",
        both=" und ",
        quoted="„{}“",
    ),
    "es": Wording(
        trained="¿Qué dice «{document}» sobre «{topic}»?",
        asked="Explique «{topic}» según «{document}».",
        within="¿Qué dice la sección «{within}» de «{document}» sobre «{topic}»?",
        title="¿Qué responde «{document}» a la pregunta «{topic}»?",
        keyword="Escriba un texto sobre estos temas: {topics}.",
        section="Escriba la sección «{section}» de {path}.",
        beginning="Escriba el comienzo de la sección «{section}» de {path}.",
        about="Escriba lo que dice la sección «{section}» de {path} sobre {terms}.",
        first="Escriba el comienzo de lo que dice la sección «{section}» de {path} sobre {terms}.",
        both=" y ",
        quoted="«{}»",
    ),
    "pt": Wording(
        trained="O que diz “{document}” sobre “{topic}”?",
        asked="Explique “{topic}” segundo “{document}”.",
        within="O que diz a seção “{within}” de “{document}” sobre “{topic}”?",
        title="O que responde “{document}” à pergunta “{topic}”?",
        keyword="Escreva um texto sobre estes temas: {topics}.",
        section="Escreva a seção “{section}” de {path}.",
        beginning="Escreva o início da seção “{section}” de {path}.",
        about="Escreva o que a seção “{section}” de {path} diz sobre {terms}.",
        first="Escreva o início do que a seção “{section}” de {path} diz sobre {terms}.",
        both=" e ",
    ),
    "it": Wording(
        trained="Che cosa dice «{document}» su «{topic}»?",
        asked="Spieghi «{topic}» secondo «{document}».",
        within="Che cosa dice la sezione «{within}» di «{document}» su «{topic}»?",
        title="Come risponde «{document}» alla domanda «{topic}»",
        keyword="Scriva un testo su questi argomenti: {topics}.",
        section="Scriva la sezione «{section}» di {path}.",
        beginning="Scriva l'inizio della sezione «{section}» di {path}.",
        about="Scriva che cosa dice la sezione «{section}» di {path} su {terms}.",
        first="Scriva l'inizio di ciò che la sezione «{section}» di {path} dice su {terms}.",
        both=" e ",
        quoted="«{}»",
    ),
    "nl": Wording(
        trained="Wat zegt “{document}” over “{topic}”?",
        asked="Leg “{topic}” uit zoals beschreven in “{document}”.",
        within="Wat zegt de paragraaf “{within}” van “{document}” over “{topic}”?",
        title="Hoe beantwoordt “{document}” de vraag “{topic}”",
        keyword="Schrijf een tekst over deze onderwerpen: {topics}.",
        section="Schrijf de paragraaf “{section}” van {path}.",
        beginning="Schrijf het begin van de paragraaf “{section}” van {path}.",
        about="Schrijf wat de paragraaf “{section}” van {path} zegt over {terms}.",
        first="Schrijf het begin van wat de paragraaf “{section}” van {path} zegt over {terms}.",
        both=" en ",
    ),
    "pl": Wording(
        trained="Co dokument „{document}” mówi na temat „{topic}”?",
        asked="Proszę wyjaśnić temat „{topic}” na podstawie dokumentu „{document}”.",
        within="Co sekcja „{within}” dokumentu „{document}” mówi na temat „{topic}”?",
        title="Jak dokument „{document}” odpowiada na pytanie „{topic}”",
        keyword="Proszę napisać tekst na następujące tematy: {topics}.",
        section="Proszę napisać sekcję „{section}” pliku {path}.",
        beginning="Proszę napisać początek sekcji „{section}” pliku {path}.",
        about="Proszę napisać, co sekcja „{section}” pliku {path} mówi na temat: {terms}.",
        first="Proszę napisać początek tego, co sekcja „{section}” pliku {path} mówi na temat: {terms}.",
        both=" i ",
        quoted="„{}”",
    ),
    "da": Wording(
        trained="Hvad siger „{document}“ om „{topic}“?",
        asked="Forklar „{topic}“, som „{document}“ beskriver det.",
        within="Hvad siger afsnittet „{within}“ i „{document}“ om „{topic}“?",
        title="Hvordan besvarer „{document}“ spørgsmålet „{topic}“",
        keyword="Skriv en tekst om disse emner: {topics}.",
        section="Skriv afsnittet „{section}“ i {path}.",
        beginning="Skriv begyndelsen af afsnittet „{section}“ i {path}.",
        about="Skriv, hvad afsnittet „{section}“ i {path} siger om {terms}.",
        first="Skriv begyndelsen af det, som afsnittet „{section}“ i {path} siger om {terms}.",
        both=" og ",
        quoted="„{}“",
    ),
    "tr": Wording(
        trained="“{document}” belgesi “{topic}” hakkında ne diyor?",
        asked="“{topic}” konusunu “{document}” belgesine göre açıklayın.",
        within="“{document}” belgesinin “{within}” bölümü “{topic}” hakkında ne diyor?",
        title="“{document}” belgesi “{topic}” sorusunu nasıl yanıtlıyor?",
        keyword="Şu konularda bir metin yazın: {topics}.",
        section="{path} dosyasının “{section}” bölümünü yazın.",
        beginning="{path} dosyasının “{section}” bölümünün başını yazın.",
        about="{path} dosyasının “{section}” bölümünün {terms} hakkında söylediklerini yazın.",
        first="{path} dosyasının “{section}” bölümünün {terms} hakkında söylediklerinin başını yazın.",
        both=" ve ",
    ),
    "ru": Wording(
        trained="Что говорится в «{document}» на тему «{topic}»?",
        asked="Объясните тему «{topic}» по документу «{document}».",
        within="Что говорится в разделе «{within}» документа «{document}» на тему «{topic}»?",
        title="Как «{document}» отвечает на вопрос «{topic}»",
        keyword="Напишите текст на следующие темы: {topics}.",
        section="Напишите раздел «{section}» файла {path}.",
        beginning="Напишите начало раздела «{section}» файла {path}.",
        about="Напишите, что говорится в разделе «{section}» файла {path} на тему: {terms}.",
        first="Напишите начало того, что говорится в разделе «{section}» файла {path} на тему: {terms}.",
        both=" и ",
        quoted="«{}»",
    ),
    "zh-Hans": Wording(
        trained="“{document}”中关于“{topic}”是怎么说的？",
        asked="请根据“{document}”说明“{topic}”。",
        within="“{document}”的“{within}”一节中关于“{topic}”是怎么说的？",
        title="“{document}”如何回答“{topic}”这个问题？",
        keyword="请围绕以下主题写一段文字：{topics}。",
        section="请写出 {path} 中“{section}”一节的内容。",
        beginning="请写出 {path} 中“{section}”一节的开头。",
        about="请写出 {path} 中“{section}”一节关于{terms}的内容。",
        first="请写出 {path} 中“{section}”一节关于{terms}的内容的开头。",
        both="和",
        comma="、",
    ),
    "zh-Hant": Wording(
        trained="「{document}」中關於「{topic}」是怎麼說的？",
        asked="請根據「{document}」說明「{topic}」。",
        within="「{document}」的「{within}」一節中關於「{topic}」是怎麼說的？",
        title="「{document}」如何回答「{topic}」這個問題？",
        keyword="請圍繞以下主題寫一段文字：{topics}。",
        section="請寫出 {path} 中「{section}」一節的內容。",
        beginning="請寫出 {path} 中「{section}」一節的開頭。",
        about="請寫出 {path} 中「{section}」一節關於{terms}的內容。",
        first="請寫出 {path} 中「{section}」一節關於{terms}的內容的開頭。",
        both="和",
        quoted="「{}」",
        comma="、",
    ),
    "ja": Wording(
        trained="「{document}」では「{topic}」について何と書かれていますか？",
        asked="「{document}」に基づいて「{topic}」を説明してください。",
        within="「{document}」の「{within}」の節では「{topic}」について何と書かれていますか？",
        title="「{document}」は「{topic}」という質問にどう答えていますか？",
        keyword="次の事項について文章を書いてください：{topics}。",
        section="{path} の「{section}」の節を書いてください。",
        beginning="{path} の「{section}」の節の冒頭を書いてください。",
        about="{path} の「{section}」の節が{terms}について述べていることを書いてください。",
        first="{path} の「{section}」の節が{terms}について述べていることの冒頭を書いてください。",
        both="と",
        quoted="「{}」",
        comma="、",
    ),
    "ko": Wording(
        trained="“{document}”에서 “{topic}”에 대해 무엇이라고 합니까?",
        asked="“{document}”에 따라 “{topic}” 항목을 설명하십시오.",
        within="“{document}”의 “{within}” 절에서 “{topic}”에 대해 무엇이라고 합니까?",
        title="“{document}”에서는 “{topic}”라는 질문에 어떻게 답합니까?",
        keyword="다음 주제에 대한 글을 쓰십시오: {topics}.",
        section="{path}의 “{section}” 절을 쓰십시오.",
        beginning="{path}의 “{section}” 절의 첫 부분을 쓰십시오.",
        about="{path}의 “{section}” 절에서 {terms}에 대해 설명하는 내용을 쓰십시오.",
        first="{path}의 “{section}” 절에서 {terms}에 대해 설명하는 내용의 첫 부분을 쓰십시오.",
        both=", ",
    ),
    "th": Wording(
        trained="“{document}” กล่าวถึง “{topic}” ไว้อย่างไร",
        asked="จงอธิบาย “{topic}” ตามที่ระบุใน “{document}”",
        within="หัวข้อ “{within}” ของ “{document}” กล่าวถึง “{topic}” ไว้อย่างไร",
        title="“{document}” ตอบคำถาม “{topic}” ว่าอย่างไร",
        keyword="จงเขียนข้อความเกี่ยวกับเรื่องต่อไปนี้: {topics}",
        section="จงเขียนหัวข้อ “{section}” ของ {path}",
        beginning="จงเขียนส่วนต้นของหัวข้อ “{section}” ของ {path}",
        about="จงเขียนสิ่งที่หัวข้อ “{section}” ของ {path} กล่าวถึง {terms}",
        first="จงเขียนส่วนต้นของสิ่งที่หัวข้อ “{section}” ของ {path} กล่าวถึง {terms}",
        both=" และ ",
    ),
    "lo": Wording(
        trained="“{document}” ກ່າວເຖິງ “{topic}” ໄວ້ແນວໃດ?",
        asked="ຈົ່ງອະທິບາຍ “{topic}” ຕາມ “{document}”",
        within="ຫົວຂໍ້ “{within}” ຂອງ “{document}” ກ່າວເຖິງ “{topic}” ໄວ້ແນວໃດ?",
        title="“{document}” ຕອບຄຳຖາມ “{topic}” ແນວໃດ?",
        keyword="ຈົ່ງຂຽນຂໍ້ຄວາມກ່ຽວກັບ: {topics}",
        section="ຈົ່ງຂຽນຫົວຂໍ້ “{section}” ຂອງ {path}",
        beginning="ຈົ່ງຂຽນສ່ວນຕົ້ນຂອງຫົວຂໍ້ “{section}” ຂອງ {path}",
        about="ຈົ່ງຂຽນສິ່ງທີ່ຫົວຂໍ້ “{section}” ຂອງ {path} ກ່າວເຖິງ {terms}",
        first="ຈົ່ງຂຽນສ່ວນຕົ້ນຂອງສິ່ງທີ່ຫົວຂໍ້ “{section}” ຂອງ {path} ກ່າວເຖິງ {terms}",
        both=" ແລະ ",
    ),
    "km": Wording(
        trained="តើ “{document}” និយាយអ្វីខ្លះអំពី “{topic}”?",
        asked="ចូរពន្យល់ “{topic}” តាម “{document}”។",
        within="តើផ្នែក “{within}” នៃ “{document}” និយាយអ្វីខ្លះអំពី “{topic}”?",
        title="តើ “{document}” ឆ្លើយសំណួរ “{topic}” យ៉ាងដូចម្តេច?",
        keyword="ចូរសរសេរអត្ថបទអំពី៖ {topics}។",
        section="ចូរសរសេរផ្នែក “{section}” នៃ {path}។",
        beginning="ចូរសរសេរផ្នែកដើមនៃផ្នែក “{section}” នៃ {path}។",
        about="ចូរសរសេរអ្វីដែលផ្នែក “{section}” នៃ {path} និយាយអំពី {terms}។",
        first="ចូរសរសេរផ្នែកដើមនៃអ្វីដែលផ្នែក “{section}” នៃ {path} និយាយអំពី {terms}។",
        both=" និង ",
    ),
    "my": Wording(
        trained="“{document}” တွင် “{topic}” အကြောင်း မည်သို့ ဖော်ပြထားသနည်း။",
        asked="“{document}” အရ “{topic}” ကို ရှင်းပြပါ။",
        within="“{document}” ၏ “{within}” အပိုင်းတွင် “{topic}” အကြောင်း မည်သို့ ဖော်ပြထားသနည်း။",
        title="“{document}” က “{topic}” မေးခွန်းကို မည်သို့ ဖြေထားသနည်း။",
        keyword="ဤအကြောင်းအရာများအကြောင်း ရေးပါ။ {topics}",
        section="{path} ၏ “{section}” အပိုင်းကို ရေးပါ။",
        beginning="{path} ၏ “{section}” အပိုင်း၏ အစကို ရေးပါ။",
        about="{path} ၏ “{section}” အပိုင်းတွင် {terms} အကြောင်း ဖော်ပြထားသည်ကို ရေးပါ။",
        first="{path} ၏ “{section}” အပိုင်းတွင် {terms} အကြောင်း ဖော်ပြထားသည်၏ အစကို ရေးပါ။",
        both=" နှင့် ",
    ),
}


def wording_of(chunk: Chunk) -> Wording:
    """The wording for a passage."""
    language = language_of(chunk)
    return WORDINGS.get(language, PLAIN) if language else ENGLISH
