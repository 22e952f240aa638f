"""Small tokenizers of every family, trained on the spot, and the text they are trained on."""

import random
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

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


def deepseek() -> Tokenizer:
    """Special tokens with the mark of a space in them, and one with a space."""
    made = llama_3()
    made.add_special_tokens(["<|end▁of▁text|>", "<|end of turn|>"])
    return made


def phi() -> Tokenizer:
    """As Phi-3: special tokens take the white space behind them along."""
    made = gpt_2()
    made.add_special_tokens([AddedToken("<|end|>", rstrip=True, normalized=False)])
    return made
