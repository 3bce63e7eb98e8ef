"""LangChain embeddings whose vectors are aligned on the way out."""

from __future__ import annotations

import numpy as np
from langchain_core.embeddings import Embeddings

from anisoalign.aligners import Aligner
from anisoalign.integrations.batches import transform_batch


class AlignedEmbeddings(Embeddings):
    """The embeddings of another class, aligned.

    Parameters
    ----------
    embeddings : Embeddings
        The model whose vectors the aligner was fitted on.
    aligner : Aligner
        Fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> from anisoalign.aligners import ReAlign
    >>> texts = DeterministicFakeEmbedding(size=8)
    >>> images = np.random.default_rng(0).normal(size=(40, 8)) + 1
    >>> known = np.array(texts.embed_documents([f"text {i}" for i in range(40)]))
    >>> store_with = AlignedEmbeddings(texts, ReAlign().fit(known, images))
    >>> len(store_with.embed_query("text 3"))
    8
    """

    def __init__(self, embeddings: Embeddings, aligner: Aligner) -> None:
        self.embeddings, self.aligner = embeddings, aligner

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Unit aligned vectors of texts; none for none."""
        return self._aligned(self.embeddings.embed_documents(texts)) if texts else []

    def embed_query(self, text: str) -> list[float]:
        """Unit aligned vector of one text."""
        return self._aligned([self.embeddings.embed_query(text)])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents`, waiting for the other class's own asynchronous call."""
        return self._aligned(await self.embeddings.aembed_documents(texts)) if texts else []

    async def aembed_query(self, text: str) -> list[float]:
        """`embed_query`, waiting for the other class's own asynchronous call."""
        return self._aligned([await self.embeddings.aembed_query(text)])[0]

    def _aligned(self, vectors: list[list[float]]) -> list[list[float]]:
        return transform_batch(self.aligner, np.asarray(vectors, np.float32)).tolist()
