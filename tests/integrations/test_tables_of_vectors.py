"""`transform` inside datasets.map and over columns of pandas, polars and LangChain."""

import numpy as np
import pytest

import anisoalign as aa

pytestmark = pytest.mark.integration


@pytest.fixture
def model(planted):
    return aa.ReAlign().fit(planted.source, planted.target)


@pytest.fixture
def aligned(model, planted):
    return model.transform(planted.source)


def test_datasets_map_in_batches(model, planted, aligned):
    import datasets

    from anisoalign.integrations.batches import transform_batch

    texts = datasets.Dataset.from_dict({"embedding": planted.source.tolist()}).with_format("numpy")
    mapped = texts.map(lambda rows: {"aligned": transform_batch(model, rows["embedding"])}, batched=True, batch_size=70)
    np.testing.assert_allclose(mapped["aligned"][:], aligned, atol=1e-6)


def test_draws_keyed_by_row_do_not_depend_on_the_batches(planted):
    import datasets

    noisy = aa.C3(noise=0.1).fit(planted.source, planted.target)
    texts = datasets.Dataset.from_dict({"embedding": planted.source.tolist()}).with_format("numpy")
    mapped = texts.map(
        lambda rows, at: {"aligned": noisy.transform(rows["embedding"], first_row=at[0])},
        with_indices=True,
        batched=True,
        batch_size=70,
    )
    np.testing.assert_allclose(mapped["aligned"][:], noisy.transform(planted.source), atol=1e-6)


def test_a_column_of_pandas(model, planted, aligned):
    import pandas as pd

    frame = pd.DataFrame({"embedding": list(planted.source)}, index=np.arange(300)[::-1])
    frame["aligned"] = list(model.transform(np.stack(frame["embedding"].to_list())))
    np.testing.assert_allclose(np.stack(frame["aligned"].to_list()), aligned, atol=1e-6)


def test_a_column_of_polars(model, planted, aligned):
    import polars as pl

    frame = pl.DataFrame({"embedding": planted.source.astype(np.float32)})
    assert frame["embedding"].dtype == pl.Array(pl.Float32, 16)
    frame = frame.with_columns(
        aligned=pl.col("embedding").map_batches(lambda s: pl.Series(model.transform(s.to_numpy())))
    )
    np.testing.assert_allclose(frame["aligned"].to_numpy(), aligned, atol=1e-6)


def test_langchain_embeddings_are_aligned_either_way(planted):
    import asyncio

    from langchain_core.embeddings import DeterministicFakeEmbedding
    from langchain_core.vectorstores import InMemoryVectorStore

    from anisoalign.integrations.langchain import AlignedEmbeddings

    inner = DeterministicFakeEmbedding(size=16)
    words = [f"word {i}" for i in range(60)]
    raw = np.array(inner.embed_documents(words))
    model = aa.ReAlign().fit(raw, planted.target)
    outer = AlignedEmbeddings(inner, model)
    np.testing.assert_allclose(outer.embed_documents(words), model.transform(raw), atol=1e-5)
    np.testing.assert_allclose(outer.embed_query("word 7"), model.transform(raw)[7], atol=1e-5)
    assert asyncio.run(outer.aembed_query("word 7")) == outer.embed_query("word 7")
    assert outer.embed_documents([]) == []
    store = InMemoryVectorStore(outer)
    store.add_texts(words)
    assert store.similarity_search("word 7", k=1)[0].page_content == "word 7"


def test_an_empty_text_keeps_its_zero_vector_and_the_others_are_aligned(planted):
    from langchain_core.embeddings import Embeddings

    from anisoalign.integrations.langchain import AlignedEmbeddings

    class Silent(Embeddings):
        def embed_documents(self, texts):
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text):
            return planted.source[int(text)].tolist() if text else [0.0] * planted.source.shape[1]

    for model in (aa.ReAlign(), aa.GaussianTransport(), aa.AnisoAlign(strength=0.5)):
        model.fit(planted.source, planted.target)
        outer = AlignedEmbeddings(Silent(), model)
        rows = np.array(outer.embed_documents(["3", "", "5", ""]))
        assert not rows[[1, 3]].any()
        np.testing.assert_allclose(rows[[0, 2]], model.transform(planted.source[[3, 5]].astype(np.float32)), atol=1e-6)
        assert not np.any(outer.embed_query(""))


@pytest.mark.parametrize("method", [aa.C3, aa.RandomTarget])
def test_vectors_that_depend_on_the_place_in_a_batch_are_refused(planted, method):
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from sklearn.exceptions import NotFittedError

    from anisoalign.integrations.langchain import AlignedEmbeddings

    with pytest.raises(aa.InputError, match="by the place in a batch"):
        AlignedEmbeddings(DeterministicFakeEmbedding(size=16), method().fit(planted.source, planted.target))
    with pytest.raises(NotFittedError):
        AlignedEmbeddings(DeterministicFakeEmbedding(size=16), method())


def test_a_batch_about_one_thing_is_no_drift(planted):
    from langchain_core.embeddings import Embeddings

    from anisoalign.aligners.anisoalign.premise import AlignmentWarning
    from anisoalign.integrations.batches import transform_batch
    from anisoalign.integrations.langchain import AlignedEmbeddings

    class Known(Embeddings):
        def embed_documents(self, texts):
            return planted.source[[int(text) for text in texts]].tolist()

        def embed_query(self, text):
            return planted.source[int(text)].tolist()

    model = aa.AnisoAlign(strength=0.5).fit(planted.source, planted.target)
    alike = np.argsort(-planted.source @ planted.source[0])[:40]
    batch = planted.source[alike]
    with pytest.warns(AlignmentWarning, match="drifted"):
        expected = model.transform(batch)
    # Warnings are errors in this suite.
    np.testing.assert_array_equal(transform_batch(model, batch), expected)
    rows = AlignedEmbeddings(Known(), model).embed_documents([str(row) for row in alike])
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_the_examples_of_the_integrations_run():
    import doctest
    from importlib import import_module

    for name in ("batches", "langchain", "sentence_transformers"):
        assert doctest.testmod(import_module(f"anisoalign.integrations.{name}")).failed == 0
