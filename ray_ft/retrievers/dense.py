"""Dense retrieval by any embedding model that transformers loads: mean pooling and cosine similarity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray_ft.errors import ModelError, first_line
from ray_ft.retrievers.base import RETRIEVERS, Index, Retriever
from ray_ft.rows import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]  # [texts, dimensions], each of length 1


@RETRIEVERS.register("dense")
@dataclass(frozen=True)
class Dense(Retriever):
    """Cosine similarity of embeddings of the question and of the passage with its heading path."""

    name: str = "dense"
    model: str = "???"  # required
    """Embedding model: a folder or a name on the hub; the mean of its last hidden states is taken."""
    query_prefix: str = ""
    """Put in front of questions where the model wants it, such as `query: `."""
    passage_prefix: str = ""
    """Put in front of passages where the model wants it, such as `passage: `."""
    max_tokens: int = 512
    """Tokens of a text that are read."""
    batch_size: int = 32
    """Texts embedded at a time."""

    def index(self, passages: list[Chunk]) -> Index:
        """Embed every passage; raises ModelError for a model that cannot be loaded."""
        return DenseIndex(passages, Encoder(self), passage_prefix=self.passage_prefix, query_prefix=self.query_prefix)


class Encoder:
    """A loaded embedding model: on the GPU where there is one."""

    def __init__(self, settings: Dense) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(settings.model)
            self._model: Any = AutoModel.from_pretrained(settings.model).eval()
        except (OSError, ValueError) as error:
            raise ModelError(
                f"evaluation.retriever.model: cannot load {settings.model!r} ({first_line(error)}); "
                "give the folder or hub name of an embedding model"
            ) from None
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model.to(self._device)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        most = getattr(self._model.config, "max_position_embeddings", settings.max_tokens)
        self._max_tokens = min(settings.max_tokens, most)
        self._batch_size = settings.batch_size

    def __call__(self, texts: Sequence[str]) -> "Vectors":
        """Embeddings of length 1; a text without tokens has zeros."""
        import numpy as np
        import torch

        # Texts of like length together: padding is computed as well.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = []
        for start in range(0, len(order), self._batch_size):
            batch = [texts[i] for i in order[start : start + self._batch_size]]
            inputs = self._tokenizer(
                batch, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
            )
            if not inputs["input_ids"].shape[1]:
                parts.append(np.zeros((len(batch), self._model.config.hidden_size), dtype=np.float32))
                continue
            with torch.inference_mode():
                hidden = self._model(**inputs.to(self._device)).last_hidden_state.float()
            mask = inputs["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            parts.append(torch.nn.functional.normalize(mean, dim=1).cpu().numpy())
        vectors: Vectors = np.empty_like(np.concatenate(parts))
        vectors[order] = np.concatenate(parts)
        return vectors


class DenseIndex(Index):
    """Passages and their embeddings, all held against each question: exact, and fast up to a million of them."""

    def __init__(self, passages: list[Chunk], encoder: Encoder, *, passage_prefix: str, query_prefix: str) -> None:
        assert passages, "an index needs at least one passage"
        self._passages = passages
        self._encoder = encoder
        self._query_prefix = query_prefix
        self._vectors = encoder([passage_prefix + "\n".join((*p.heading_path, p.text)) for p in passages])

    def ranked(self, question: str, num_passages: int) -> list[tuple[Chunk, float]]:
        """The most similar passages first; equal ones keep the passages' own order."""
        import numpy as np

        if not question.strip():
            return []
        # Batches of another size round otherwise: what differs by less is equal.
        similarity = (self._vectors @ self._encoder([self._query_prefix + question])[0]).round(5)
        best = np.argsort(-similarity, kind="stable")[:num_passages]
        return [(self._passages[i], float(similarity[i])) for i in best]
