"""The tokens of parts of a document, put together from those of the whole, are those of the parts by themselves."""

import random
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from ray_ft.data.document_tokens import STRETCH, DocumentTokens, Splicer, Verbatim, ids_of

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)  # the words of Llama 3's tokenizer; those of Qwen differ in digits alone
SENTENCES = (
    "The ferry leaves at 9:15 from the northern gate (see p. 123456). ",
    "Größe 12 m, straße — façade; 東京 の 港 は 広い。",
    "It's ready, isn't it? We'll board at gate B-7!!! ",
    "    def board(self, crew: int = 3) -> bool:\n        return self.ramp != 0x1F  # don't\n",
    "\treturn {'a': [1, 2, 3]};\n\n\n",
    "🚢 🚢🚢 e\u0301 \u00a0 x   \n \n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "x" * 40 + "\n",
    "Board at nine.\n",
    "\nferry ferry gate\ngate 12 of 12\n",
)
HELLO = ["<|im_start|>assistant\n", "Write: a, b. ", ""]


def text_of(seed: int, num_sentences: int = 60) -> str:
    return "".join(random.Random(seed).choices(SENTENCES, k=num_sentences))


def trained(model: Any, trainer: Any, pre_tokenizer: Any, *, normalizer: Any = None, decoder: Any = None) -> Tokenizer:
    backend = Tokenizer(model)
    if pre_tokenizer is not None:
        backend.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        backend.normalizer = normalizer
    if decoder is not None:
        backend.decoder = decoder
    backend.train_from_iterator([text_of(seed) for seed in range(20)], trainer)
    return backend


def byte_level(pre_tokenizer: Any, *, vocab_size: int = 700, **model: Any) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<|im_start|>", "<|im_end|>"],
    )  # fmt: skip
    return trained(models.BPE(**model), trainer, pre_tokenizer, decoder=decoders.ByteLevel())


def words_of_llama_3() -> Any:
    split = pre_tokenizers.Split(Regex(LLAMA_3), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt_2() -> Tokenizer:
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))


def llama_3() -> Tokenizer:
    return byte_level(words_of_llama_3(), ignore_merges=True)


def composing() -> Tokenizer:
    """As Qwen: accents are composed first, so that bytes of the text are not those of its tokens."""
    made = byte_level(words_of_llama_3())
    made.normalizer = normalizers.NFC()
    return made


def gemma() -> Tokenizer:
    """Spaces become a mark, and nothing splits words."""
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False, max_token_length=8)
    split = pre_tokenizers.Split("▁", behavior="merged_with_next")
    return trained(models.BPE(unk_token=None, fuse_unk=True), trainer, split, normalizer=normalizers.Replace(" ", "▁"))


def unigram() -> Tokenizer:
    trainer = trainers.UnigramTrainer(vocab_size=400, show_progress=False, unk_token="<unk>", special_tokens=["<unk>"])
    return trained(models.Unigram(), trainer, pre_tokenizers.Metaspace(prepend_scheme="never"))


def llama_2() -> Tokenizer:
    """A mark before the first word, wherever a text begins, but not before the first word of a line."""
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False)
    lines = pre_tokenizers.Split("\n", behavior="isolated")
    return trained(
        models.BPE(), trainer, pre_tokenizers.Sequence([lines, pre_tokenizers.Metaspace(prepend_scheme="first")])
    )


def wordpiece() -> Tokenizer:
    """As BERT: white space is in no token."""
    trainer = trainers.WordPieceTrainer(vocab_size=500, show_progress=False, special_tokens=["[UNK]"])
    return trained(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer())


def several_words() -> Tokenizer:
    """Nothing splits words, so that tokens reach over spaces."""
    trainer = trainers.BpeTrainer(vocab_size=2000, show_progress=False)
    return trained(models.BPE(), trainer, None)


def greedy_for_space() -> Tokenizer:
    """A token of its own that takes the white space behind it along."""
    made = gpt_2()
    made.add_tokens([AddedToken("gate", rstrip=True, normalized=False)])
    return made


def phi() -> Tokenizer:
    """As Phi-3: special tokens take the white space behind them along."""
    made = gpt_2()
    made.add_special_tokens([AddedToken("<|end|>", rstrip=True, normalized=False)])
    return made


EXACT = [phi, gpt_2, llama_3, composing, gemma, unigram]
WITHOUT_SPACES = [wordpiece]
MARKED = [llama_2]
AS_IT_STANDS = [several_words, greedy_for_space]


def splicer(backend: Tokenizer) -> Splicer:
    content, special = Tokenizer.from_str(backend.to_str()), Tokenizer.from_str(backend.to_str())
    content.encode_special_tokens = True
    return Splicer(content, special)


@pytest.mark.parametrize("make", [*EXACT, *WITHOUT_SPACES, *MARKED, *AS_IT_STANDS])
def test_counts_and_ids_are_those_of_the_span_by_itself(make: Any) -> None:
    parts = splicer(make())
    rng = random.Random(7)
    for seed in range(3):
        text = text_of(seed)
        tokens = DocumentTokens(text, parts)
        lines = [0, *(i + 1 for i, c in enumerate(text) if c == "\n"), len(text)]
        for _ in range(150):
            pool = lines if rng.random() < 0.5 else range(len(text) + 1)
            start, end = sorted(rng.choices(pool, k=2))
            if rng.random() < 0.7:
                end = start + len(text[start:end].rstrip())
            piece = text[start:end]
            assert tokens.count(start, end) == len(ids_of(parts.content, [piece])[0])
            before, after = rng.choice(HELLO), rng.choice(["<|im_end|>", "\n", ""])
            ids = tokens.ids(start, end, before=before, after=after)
            assert ids == ids_of(parts.special, [before + piece + after])[0]


@pytest.mark.parametrize("make", [*EXACT, *WITHOUT_SPACES, *MARKED, *AS_IT_STANDS])
def test_ids_of_whole_lines_are_those_that_they_have_by_themselves(make: Any) -> None:
    parts = splicer(make())
    text = text_of(11)
    tokens = DocumentTokens(text, parts)
    starts = [0, *(i + 1 for i, c in enumerate(text[:-1]) if c == "\n")]
    for start in starts:
        for length in (20, 150, 600):
            end = start + len(text[start : text.find("\n", start + length)].rstrip())
            assert tokens.ids(start, end) == ids_of(parts.special, [text[start:end]])[0]


@pytest.mark.parametrize("make", [*EXACT, *WITHOUT_SPACES, *MARKED, *AS_IT_STANDS])
@pytest.mark.parametrize(
    "prompt", ["<|im_start|>user\nWrite: a, b.<|im_end|>\n", "Ask <|end|> it. ", "<|end|> x<|end|>", "No", ""]
)
def test_ids_of_a_prompt_and_of_all_behind_it_are_those_of_one_text(make: Any, prompt: str) -> None:
    parts = splicer(make())
    text = text_of(4)
    tokens = DocumentTokens(text, parts)
    for start, end in ((0, 400), (17, 900), (300, 360)):
        piece = text[start:end]
        found = Verbatim(tokens, start, end).ids_behind(prompt, opening="It is: ", after="<|im_end|>")
        assert found == tuple(ids_of(parts.special, [prompt, f"{prompt}It is: {piece}<|im_end|>"]))


@pytest.mark.parametrize("make", [*EXACT, *MARKED])
def test_most_of_a_document_is_tokenised_once(make: Any) -> None:
    class Watched:
        def __init__(self, backend: Tokenizer) -> None:
            self.backend, self.num_characters = backend, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.backend, name)

        def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
            self.num_characters += sum(map(len, texts))
            return self.backend.encode_batch_fast(texts, **options)

    made = splicer(make())
    assert made.is_exact
    text = "The ferry leaves at 9 from gate B.\n    Crew board first, at 8.\n" * 200
    tokens = DocumentTokens(text, made)
    watched = Watched(made.content)
    tokens._splicer = Splicer(watched, watched)
    for start in range(0, len(text) - 640, 640):
        tokens.count(start, start + 630)
        tokens.ids(start, start + 630, before="Write it. ", after="<|im_end|>")
    assert watched.num_characters < 0.2 * 2 * len(text)


@pytest.mark.parametrize("make", AS_IT_STANDS)
def test_tokenizers_whose_texts_do_not_fall_apart_are_known(make: Any) -> None:
    assert not splicer(make()).is_exact


def test_tokenizers_that_mark_the_first_word_of_a_text_are_known() -> None:
    assert splicer(gpt_2()).is_plain_at_start
    assert not splicer(llama_2()).is_plain_at_start


@pytest.mark.parametrize("make", [*EXACT, *MARKED])
def test_tokens_of_a_long_text_begin_where_the_tokenizer_says(make: Any) -> None:
    made = splicer(make())
    text = text_of(3, num_sentences=1500)
    assert len(text) > 2 * STRETCH  # several stretches
    encoding = made.content.encode(text, add_special_tokens=False)
    assert list(DocumentTokens(text, made).starts) == [first for first, _ in encoding.offsets]


def test_a_long_text_without_spaces_is_still_counted_exactly() -> None:
    made = splicer(gpt_2())
    text = "".join(random.Random(1).choices("abcdefgh", k=3 * STRETCH)) + " and an end of several words.\n" * 20
    tokens = DocumentTokens(text, made)
    start = 3 * STRETCH - 300
    assert tokens.count(start, len(text)) == len(ids_of(made.content, [text[start:]])[0])
    assert tokens.find(text[-300:], 0, len(text)) is None


def test_words_are_found_where_it_saves_work() -> None:
    made = splicer(gpt_2())
    text = text_of(5)
    tokens = DocumentTokens(text, made)
    found = tokens.find(text[100:500], 50, 600)
    assert found is not None
    assert (found.start, found.end) == (100, 500)
    assert tokens.find(text[100:120], 50, 600) is None
    assert tokens.find(text[100:500], 200, 600) is None
