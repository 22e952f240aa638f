"""European languages are told by their function words, keep them out of keywords, and are asked in."""

import pytest

from ray_ft.recipes.chunking.keywords import keywords
from ray_ft.recipes.chunking.languages import european_language
from ray_ft.recipes.questions.from_structure import evaluation_question, training_question
from ray_ft.rows import Chunk

TEXTS = {
    "fr": "Ce document décrit l'installation de la pompe et la configuration du serveur, mais pas de nuit.",
    "de": "Die Pumpe wird mit dem Hebel gestartet, und der Druck ist nach zehn Sekunden auf dem Wert.",
    "es": "Esta directiva establece el nombre de un dominio para un directorio, y se usa con la autenticación.",
    "pt": "Esta diretiva define o nome de um domínio para um diretório, e não é usada com a autenticação.",
    "tr": "Bu yönerge bir dizin için alan adını belirler ve daha sonra kimlik doğrulaması için okunur.",
    "ru": "Эта директива задаёт имя домена для каталога, и она не читается сервером до того, как он запущен.",
    "": "This directive sets the name of a realm for a directory, and it is used with the authentication of the site.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_function_words_tell_the_language(language: str) -> None:
    assert european_language(TEXTS[language]) == language


def test_few_words_and_code_tell_nothing() -> None:
    assert european_language("La Paz") == ""
    assert european_language("for (i = 0; i < n; i++) { total += values[i] * weight; }") == ""


def test_keywords_have_no_function_words_of_their_language() -> None:
    assert keywords(TEXTS["fr"], 8)[:3] == ["document décrit", "installation", "pompe"]
    assert not any(" der" in word or "dem" in word for word in keywords(TEXTS["de"]))


def test_questions_are_asked_in_the_language_of_the_passage() -> None:
    chunk = Chunk("0#qa-0", "0", TEXTS["fr"], 20, ("Pompe", "Options"), metadata={"path": "a.md"})
    assert training_question(chunk) == "Que dit « Pompe » à propos de « Options » ?"
    assert evaluation_question(chunk) == "Expliquez « Options » d'après « Pompe »."
    chunk = Chunk("0#qa-0", "0", TEXTS["tr"], 20, ("Pompa", "Seçenekler"), metadata={"path": "a.md"})
    assert training_question(chunk) == "“Pompa” belgesi “Seçenekler” hakkında ne diyor?"
