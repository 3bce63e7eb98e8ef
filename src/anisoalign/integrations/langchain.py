"""LangChain embeddings whose vectors are aligned on the way out."""

from __future__ import annotations

import numpy as np
from langchain_core.embeddings import Embeddings

from anisoalign.aligners import Aligner
from anisoalign.aligners.modules import draws
from anisoalign.embeddings import InputError
from anisoalign.integrations.batches import transform_given


class AlignedEmbeddings(Embeddings):
    """The embeddings of another class, aligned; a zero vector, as some give to an empty text, stays zero.

    Parameters
    ----------
    embeddings : Embeddings
        The model whose vectors the aligner was fitted on.
    aligner : Aligner
        Fitted, and a map of one vector: `C3` and `RandomTarget` draw by the place in a batch, so that a text would have
        one vector among others and another alone.

    Raises
    ------
    NotFittedError
        If the aligner is not fitted.
    InputError
        If it draws at random.

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
        aligner._check_fitted()
        if draws(aligner):
            raise InputError(
                f"{aligner.name} draws at random by the place in a batch, so that one text would have several vectors; "
                "align what a store holds by another method"
            )
        self.embeddings, self.aligner = embeddings, aligner

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Unit aligned vectors of texts, zero where the other class gives zero; none for none."""
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
        return transform_given(self.aligner, np.asarray(vectors, np.float32)).tolist()
