"""A tiny embedding model of random weights: the mean of word vectors that hardly depend on their neighbours."""

from collections.abc import Iterable
from pathlib import Path


def random_embedder(folder: Path, texts: Iterable[str]) -> str:
    """Write one below `folder` that knows the words of some texts; returns its path."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = dict.fromkeys(["[PAD]", "[UNK]", *" ".join(texts).replace(".", " .").split()])
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    return str(folder)
