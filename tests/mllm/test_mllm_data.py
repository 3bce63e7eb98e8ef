"""Conversations, their join with embeddings, and the order of steps: what needs no language model."""

import json
import tracemalloc
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anisoalign.aligners import C3, ReAlign
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.cli import app
from anisoalign.embeddings import InputError, open_embeddings
from anisoalign.embeddings.json_arrays import elements
from anisoalign.geometry import normalize
from anisoalign.mllm import Conversations, EmbeddingStore, StageSettings
from anisoalign.mllm.held_out import parted
from anisoalign.mllm.joined import corrupted
from anisoalign.mllm.matching import matched
from anisoalign.mllm.order import Order, learning_rate


def talk(key, question="<image>\nwhat?", answer="a ring", **more):
    return {
        "id": key,
        "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}],
        **more,
    }


RECORDS = [talk("a"), talk("b", "what\n<image>", "é\n”quoted” ]"), {"id": 7, "caption": "a red ring"}, talk("d" * 300)]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_files_give_back_their_records(tmp_path, monkeypatch, indent, size):
    monkeypatch.setattr("anisoalign.embeddings.json_arrays._READ", size)
    (tmp_path / "a.json").write_text(json.dumps(RECORDS, indent=indent, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "l.jsonl").write_text("\n\n".join(json.dumps(r, ensure_ascii=False) for r in RECORDS), encoding="utf-8")
    inside = Conversations(RECORDS)
    for file in ("a.json", "l.jsonl"):
        read = Conversations(tmp_path / file)
        assert len(read) == len(RECORDS)
        assert read.ids.to_pylist() == ["a", "b", "7", "d" * 300]
        for number in (2, 0, 3, 1):
            assert read.record(number) == RECORDS[number]
            assert read[number] == inside[number]


class CountedText(str):
    """Text that counts the characters which its parts and sums are copied from and to."""

    copied = 0

    def __getitem__(self, place):
        return self._counted(super().__getitem__(place))

    def __add__(self, other):
        return self._counted(super().__add__(other))

    def __radd__(self, other):
        return self._counted(other + str(self))

    @classmethod
    def _counted(cls, text):
        CountedText.copied += len(text)
        return cls(text)


class CountedDecoder:
    """Decodes to text that counts its copies, and notes the longest block."""

    longest = 0

    def decode(self, block, final=False):
        CountedDecoder.longest = max(CountedDecoder.longest, len(block))
        return CountedText(block.decode("ascii"))


@pytest.mark.parametrize("size", [1 << 8, 1 << 13, 1 << 20])
def test_the_work_of_an_array_grows_as_the_array(tmp_path, monkeypatch, size):
    path, long = tmp_path / "talks.json", talk("long", answer="ring " * 10_000)
    path.write_text(json.dumps([*(talk(str(number)) for number in range(2000)), long, *map(talk, range(2000, 4000))]))
    monkeypatch.setattr("anisoalign.embeddings.json_arrays._READ", size)
    monkeypatch.setattr("anisoalign.embeddings.json_arrays.codecs.getincrementaldecoder", lambda name: CountedDecoder)
    monkeypatch.setattr(CountedText, "copied", 0)
    monkeypatch.setattr(CountedDecoder, "longest", 0)
    with path.open("rb") as file:
        assert sum(1 for _ in elements(file, path)) == 4001
    # However many elements a block holds, or blocks an element, each character is copied a few times.
    assert path.stat().st_size < CountedText.copied < 5 * path.stat().st_size
    # And what is read at a time goes by the longest element, not by the file.
    assert CountedDecoder.longest <= max(size, 2 * len(json.dumps(long)))


def test_an_index_takes_few_bytes_a_record(tmp_path, monkeypatch):
    monkeypatch.setattr("anisoalign.mllm.conversations._IDS", 256)
    path, count = tmp_path / "talks.jsonl", 10_000
    path.write_text("".join(json.dumps({"id": f"{n:012d}", "caption": "a ring"}) + "\n" for n in range(count)))
    Conversations([talk("a")])  # what is imported when it is first needed is no part of it
    tracemalloc.start()
    try:
        talks = Conversations(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert talks.ids.to_pylist() == [f"{n:012d}" for n in range(count)]
    assert talks[9_999].id == f"{9_999:012d}"
    assert peak < 150 * count


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (talk("x", "no mark"), "the placeholder <image> stands nowhere in it; text_only"),
        (talk("x", "no mark", image="x.png"), "the placeholder <image> stands nowhere in it$"),
        (talk("x", "<image> and <image>"), "stands in it 2 times"),
        (talk("x", answer="<image>"), "in what is not a question"),
        (talk("x", answer=" \n"), "the answer of turn 2 is empty"),
        ({"id": "x", "caption": ""}, "the answer of turn 2 is empty"),
        ({"id": "x", "caption": None}, "neither 'conversations'"),
        ({"id": "x\udc00", "caption": "a"}, "its id is not Unicode text"),
        (talk("x", answer="a ring \ud83d"), "turn 2 is not Unicode text: surrogates not allowed at character 7"),
        ({"name": "x", "caption": "a ring"}, "it has no 'id'"),
        ({"caption": "a ring"}, "it has no 'id'"),
        ({"id": 3.0, "caption": "a ring"}, r"its 'id' is 3\.0; text or a whole number is needed"),
        ({"id": ["x"], "caption": "a ring"}, r"its 'id' is \['x'\]; text or a whole number is needed"),
        ({"id": "x"}, "neither 'conversations'"),
        ({"id": "x", "conversations": [{"from": "human", "value": "<image>"}]}, "does not end with an answer"),
        ({"id": "x", "conversations": [{"from": "gpt", "value": "<image>"}]}, "turns must alternate"),
        ({"id": "x", "conversations": [{"from": "dog", "value": "<image>"}]}, "said by 'dog'"),
        ({"id": "x", "conversations": [{"from": "human", "value": 3}]}, "holds int where text is needed"),
    ],
)
def test_bad_records_are_named_with_line_and_reason(tmp_path, record, message):
    path = tmp_path / "talks.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in [talk("ok"), record]))
    with pytest.raises(InputError, match=message) as error:
        Conversations(path)
    assert "talks.jsonl: 1 conversation(s) cannot be used" in str(error.value)
    assert "line 2" in str(error.value)


def test_of_many_bad_records_the_first_ten_are_listed():
    with pytest.raises(InputError, match=r"25 conversation\(s\) cannot be used, the first ten") as error:
        Conversations([talk(i, answer=" ") for i in range(25)])
    assert str(error.value).count("record ") == 10


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ""])
def test_records_that_cannot_be_used_are_left_out_where_asked(tmp_path, suffix):
    source = records = [talk("a"), talk("b", answer=" "), talk("c", answer="a star"), {"id": "d"}]
    if suffix:
        source = tmp_path / f"talks{suffix}"
        source.write_text(json.dumps(records) if suffix == ".json" else "\n".join(map(json.dumps, records)))
    talks = Conversations(source, on_bad="skip")
    assert talks.ids.to_pylist() == ["a", "c"]
    assert (talks[1].id, talks[1].turns[-1].text) == ("c", "a star")
    assert talks.record(1) == records[2]
    assert talks.left_out.count == 2
    assert "the answer of turn 2 is empty" in talks.left_out.told("talks")
    with pytest.raises(InputError, match="holds no conversation that can be used"):
        Conversations([records[1]], on_bad="skip")
    with pytest.raises(InputError, match="on_bad must be 'error' or 'skip', not 'drop'"):
        Conversations(records, on_bad="drop")


@pytest.mark.parametrize("reason", ["not JSON", "not UTF-8 text"])
def test_a_broken_line_is_one_that_cannot_be_used(tmp_path, reason):
    path = tmp_path / "talks.jsonl"
    lines = [json.dumps(talk(key, answer="é" + 9 * "x"), ensure_ascii=False).encode() for key in "abc"]
    lines[1] = lines[1][:30]
    path.write_bytes(b"\n".join(lines))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5] if reason == "not JSON" else whole[: whole.rindex("é".encode()) + 1])
    message = rf"2 conversation\(s\) cannot be used, these:\n  line 2: .*\n  line 3: {reason}"
    with pytest.raises(InputError, match=message):
        Conversations(path)
    talks = Conversations(path, on_bad="skip")
    assert (talks.ids.to_pylist(), talks.left_out.count) == (["a"], 2)
    assert talks[0].turns[-1].text == "é" + 9 * "x"


@pytest.mark.parametrize("on_bad", ["error", "skip"])
def test_conversations_in_utf_16_are_called_so(tmp_path, on_bad):
    path = tmp_path / "talks.jsonl"
    path.write_text('{"id": "a", "caption": "a ring"}\n', encoding="utf-16")
    with pytest.raises(InputError, match=r"talks\.jsonl is UTF-16, as Windows writes it; save it as UTF-8"):
        Conversations(path, on_bad=on_bad)


@pytest.mark.parametrize("on_bad", ["error", "skip"])
@pytest.mark.parametrize("kind", ["parquet", "csv", "object"])
def test_a_file_of_another_kind_is_called_one(tmp_path, kind, on_bad):
    path, records = tmp_path / f"talks.{kind}", [{"id": "a", "caption": "a ring"}]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif kind == "csv":
        path.write_text("id,caption\na,a ring\n")
    else:
        path.write_text(json.dumps({"data": records}, indent=1))
    message = (
        rf"talks\.{kind} is neither a JSON array of records \(.json\) nor a JSON record a line \(.jsonl\): line 1 is"
    )
    with pytest.raises(InputError, match=message):
        Conversations(path, on_bad=on_bad)


@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_file_may_begin_with_a_mark_of_byte_order(tmp_path, form):
    text = json.dumps(RECORDS) if form == "array" else "\n".join(map(json.dumps, RECORDS))
    (tmp_path / "talks.json").write_text(text, encoding="utf-8-sig")
    talks = Conversations(tmp_path / "talks.json")
    assert [talks.record(number) for number in range(len(talks))] == RECORDS


def test_the_state_sees_every_word_and_no_format(tmp_path):
    state = Conversations(RECORDS).state()
    (tmp_path / "a.json").write_text(json.dumps(RECORDS, indent=1))
    assert Conversations(tmp_path / "a.json").state() == state
    for changed in (talk("a", answer="a rung"), talk("a", "<image>\nwhen?"), talk("e")):
        assert Conversations([changed, *RECORDS[1:]]).state() != state
    assert Conversations([RECORDS[1], RECORDS[0], *RECORDS[2:]]).state() != state


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_truncated_array_is_refused(tmp_path, cut):
    path = tmp_path / "talks.json"
    path.write_bytes(json.dumps(RECORDS).encode()[:-cut])
    with pytest.raises(InputError, match=r"truncated or not JSON at byte \d+, after [34] element"):
        Conversations(path)


def test_conversations_without_picture_are_taken_only_where_asked():
    records = [talk("a"), talk("b", "how are you?", "well")]
    talks = Conversations(records, text_only=True)
    assert talks.pictures.tolist() == [True, False]
    with pytest.raises(InputError, match="stands nowhere"):
        Conversations([*records, talk("c", "what is it?", image="c.png")], text_only=True)


def test_a_conversation_without_picture_needs_no_embedding_and_no_key():
    records = [
        talk("a", image="a.png"),
        talk("b", "how are you?"),
        {"messages": talk("c", "and you?")["conversations"]},
    ]
    talks = Conversations(records, text_only=True, key="image")
    assert talks.ids.to_pylist() == ["a.png", "b", ""]
    assert talks.pictures.tolist() == [True, False, False]
    with pytest.raises(InputError, match="id 'd': it has no 'image' to find its embedding by"):
        Conversations([*records, talk("d")], text_only=True, key="image")


IMAGE, SAID = {"type": "image", "text": None}, {"type": "text", "text": "what?"}


def in_parts(*question):
    answer = {"role": "assistant", "content": [{"type": "text", "text": "a ring"}]}
    return {"id": "a", "messages": [{"role": "user", "content": list(question)}, answer]}


def test_what_is_said_in_parts_is_joined():
    assert Conversations([in_parts(IMAGE, SAID)])[0] == Conversations([talk("a")])[0]
    url = {"type": "image_url", "image_url": {"url": "a.png"}}
    assert Conversations([in_parts(SAID, SAID, url)])[0].turns[0].text == "what?\nwhat?\n<image>"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((IMAGE, IMAGE, SAID), "turn 1 holds 2 images; one embedding needs exactly one"),
        ((SAID,), "the placeholder <image> stands nowhere"),
        ((IMAGE, {"type": "video"}), r"turn 1 holds {'type': 'video'}; a part of a turn is {'type': 'text'"),
        ((IMAGE, {"type": "text"}), r"turn 1 holds {'type': 'text'}; a part"),
        ((IMAGE, "what?"), r"turn 1 holds 'what\?'; a part"),
    ],
)
def test_parts_that_cannot_be_used_are_named(parts, message):
    with pytest.raises(InputError, match=f"record 0: id 'a': {message}"):
        Conversations([in_parts(*parts)])


def test_what_is_null_is_not_there():
    said = talk("a")["conversations"]
    turns = [{**turn, "role": None, "content": None} for turn in said]
    chat = [{"from": None, "value": None, "role": t["from"], "content": t["value"]} for t in said]
    for record in ({"conversations": None, "messages": turns}, {"conversations": chat, "messages": None}):
        assert Conversations([{"id": "a", "caption": None, **record}])[0] == Conversations([talk("a")])[0]


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("form", ["memory", "npy", "parquet"])
def test_rows_come_by_id_in_any_order(tmp_path, rows, form):
    names = [f"n{i}" for i in range(30)]
    if form == "memory":
        store = EmbeddingStore(rows, ids=names)
    elif form == "npy":
        np.save(tmp_path / "e.npy", rows)
        pq.write_table(pa.table({"id": names}), tmp_path / "e.ids.parquet")
        store = EmbeddingStore(tmp_path / "e.npy")
    else:
        table = pa.table({"id": names, "embedding": pa.array(rows.tolist(), pa.list_(pa.float32(), 6))})
        pq.write_table(table, tmp_path / "e.parquet")
        store = EmbeddingStore(tmp_path / "e.parquet")
    found = store.take(store.rows_of(["n9", "n3", "n9"]))
    np.testing.assert_allclose(found, unit(rows[[9, 3, 9]]), rtol=1e-6)


def test_of_several_columns_one_is_named(tmp_path, rows):
    vectors = {name: pa.array(part.tolist(), pa.list_(pa.float32(), 6)) for name, part in (("t", rows), ("i", -rows))}
    pq.write_table(pa.table({"id": [f"n{i}" for i in range(30)], **vectors}), tmp_path / "e.parquet")
    with pytest.raises(InputError, match="say which with `column`"):
        EmbeddingStore(tmp_path / "e.parquet")
    store = EmbeddingStore(tmp_path / "e.parquet", column="i")
    np.testing.assert_allclose(store.take(store.rows_of(["n7"])), unit(-rows[[7]]), rtol=1e-6)


def test_of_a_folder_of_pairs_the_side_is_read(tmp_path, rows):
    for folder, part in (("text_emb", rows), ("img_emb", -rows)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / f"{folder}_000.npy", part)
    (tmp_path / "metadata").mkdir()
    pq.write_table(pa.table({"key": [f"n{i}" for i in range(30)]}), tmp_path / "metadata" / "metadata_000.parquet")
    for side, sign in (("text", 1), ("image", -1)):
        store = EmbeddingStore(tmp_path, side=side)
        np.testing.assert_allclose(store.take(store.rows_of(["n7"])), unit(sign * rows[[7]]), rtol=1e-6)
    with pytest.raises(InputError, match="holds several kinds of embeddings"):
        EmbeddingStore(tmp_path, side="substitute")
    moved = EmbeddingStore(tmp_path, side="substitute", column="text")
    np.testing.assert_allclose(moved.take(np.array([7])), unit(rows[[7]]), rtol=1e-6)


def test_missing_ids_are_listed(rows):
    store = EmbeddingStore(rows, ids=range(30))
    with pytest.raises(InputError, match=r"15 of 20 ids have no embedding, the first ten: '30', .*'39' ") as error:
        store.rows_of(range(25, 45))
    assert "'40'" not in str(error.value)


@pytest.fixture
def llava(tmp_path, rows):
    """LLaVA's form of conversations beside rows as `encode` writes them of a folder of pictures."""
    names = [f"coco/train2017/{number:012d}" for number in range(30)]
    np.save(tmp_path / "image.npy", rows)
    table = {"id": names, "path": [f"{name}.jpg" for name in names], "size": list(range(30))}
    pq.write_table(pa.table(table), tmp_path / "image.ids.parquet")
    return [talk(name.rpartition("/")[2], image=f"{name}.jpg") for name in names], tmp_path / "image.npy"


def test_where_no_id_matches_the_message_says_what_would(llava):
    records, path = llava
    settings = StageSettings(on_bad="skip")
    with pytest.raises(InputError, match=r'30 of 30 .*; key = "image" with id_column = "path" would join them$'):
        matched(Conversations(records), EmbeddingStore(path), settings)
    assert len(matched(Conversations(records, key="image"), EmbeddingStore(path, id_column="path"), settings)) == 30
    unlike = [talk(record["id"]) for record in records]
    with pytest.raises(InputError, match=r"'id' of the conversations and 'id' of the .* by folder or ending alone$"):
        matched(Conversations(unlike), EmbeddingStore(path), settings)
    with pytest.raises(InputError, match=r"its own ids look like [^)]*\)$"):
        matched(Conversations([talk(f"x{number}") for number in range(9)]), EmbeddingStore(path), settings)


def test_ids_given_by_themselves_may_match_another_field(rows):
    records = [talk(f"x{number}", image=f"{number}.png") for number in range(9)]
    store = EmbeddingStore(rows, ids=[f"{number}.png" for number in range(30)])
    with pytest.raises(InputError, match=r'\); key = "image" would join'):
        matched(Conversations(records), store, StageSettings())


def test_an_id_of_several_rows_is_refused_only_where_it_is_asked_for(rows):
    store = EmbeddingStore(rows, ids=[*range(29), 3])
    assert store.rows_of([1, 2]).tolist() == [1, 2]
    with pytest.raises(InputError, match="1 ids have several rows, these: '3'; which is meant"):
        store.rows_of([1, 3, 3])
    assert store.rows_of([1, 3, "x"], missing="mask").tolist() == [1, -1, -1]


def test_conversations_whose_id_has_several_rows_are_left_out_where_asked(rows):
    talks, store = Conversations([talk(n) for n in range(1, 6)]), EmbeddingStore(rows, ids=[*range(29), 3])
    with pytest.raises(InputError, match=r"these: '3'; .* other ids \(id_column\); on_bad = \"skip\" leaves such"):
        matched(talks, store, StageSettings())
    found = matched(talks, store, StageSettings(on_bad="skip"))
    assert found.ids.to_pylist() == ["1", "2", "4", "5"]
    assert found.left_out.first == ("id '3': its id has several rows in embeddings",)
    twice = EmbeddingStore(rows, ids=[*range(15), *range(15)])
    with pytest.raises(InputError, match=r"5 ids have several rows, .*\(id_column\)$"):
        matched(talks, twice, StageSettings(on_bad="skip"))


def test_rows_without_ids_are_refused(tmp_path, rows):
    np.save(tmp_path / "e.npy", rows)
    with pytest.raises(InputError, match="holds no ids to join by"):
        EmbeddingStore(tmp_path / "e.npy")
    with pytest.raises(InputError, match="30 rows but 29 ids"):
        EmbeddingStore(rows, ids=range(29))


@pytest.mark.parametrize("method", [ReAlign(), C3(noise=0.05)])
def test_an_aligner_moves_rows_as_transform_does(rows, method):
    model = method.fit(rows, rows[::-1] + 1)
    store = EmbeddingStore(rows, ids=range(30), aligner=model)
    np.testing.assert_allclose(store.take(np.arange(30)), model.transform(rows), atol=1e-6)
    np.testing.assert_allclose(store.take(np.array([20, 4])), model.transform(rows)[[20, 4]], atol=1e-6)


def test_an_aligner_of_another_width_or_encoder_is_refused(tmp_path, rows):
    model = ReAlign().fit(rows, rows + 1)
    with pytest.raises(InputError, match="has width 5, the aligner was fitted on width 6"):
        EmbeddingStore(rows[:, :5], ids=range(30)).with_aligner(model)
    with pytest.raises(InputError, match="has width 5, the aligner was fitted on width 6"):
        EmbeddingStore(rows[:, :5], ids=range(30), aligner=model)
    with pytest.raises(InputError, match="these are called 'image'"):
        EmbeddingStore(rows, ids=range(30), aligner=model, side="image")


def said(rows, **provenance):
    """A set that says where it comes from."""
    found = open_embeddings(rows, name="rows")
    found.provenance = {"encoder": "hf:clip", **provenance}
    return found


@pytest.mark.parametrize(
    ("provenance", "side", "message"),
    [
        ({"modality": "text"}, "image", "holds embeddings of texts, not of images"),
        ({"modality": "image"}, "text", "holds embeddings of images, not of texts"),
        ({"modality": "text", "aligned_by": {"method": "c3"}}, "text", r"was moved by an aligner already \(c3\)"),
    ],
)
def test_sets_that_say_what_they_are_must_be_what_is_claimed(rows, provenance, side, message):
    with pytest.raises(InputError, match=message):
        EmbeddingStore(said(rows, **provenance), ids=range(30), side=side)
    EmbeddingStore(said(rows), ids=range(30), side=side)


def test_rows_that_say_only_which_model_moved_them_are_of_no_known_encoder(rows):
    moved = open_embeddings(rows, name="rows")
    moved.provenance = {"aligned_by": {"method": "c3", "model": "0c", "frame": "target", "side": "source"}}
    assert EmbeddingStore(moved, ids=range(30), side="substitute").encoder is None
    with pytest.raises(InputError, match=r"was moved by an aligner already \(c3\): side is 'substitute'"):
        EmbeddingStore(moved, ids=range(30), side="text")


def test_an_aligner_of_another_encoder_or_that_moved_nothing_is_refused(rows):
    model = ReAlign().fit(rows, rows + 1)
    model.provenance_ = {"source": {"provenance": {"encoder": "hf:siglip"}}}
    with pytest.raises(InputError, match="comes from the encoder hf:clip, the aligner was fitted on hf:siglip"):
        EmbeddingStore(said(rows), ids=range(30), aligner=model)
    model.provenance_ = {}
    EmbeddingStore(said(rows), ids=range(30), aligner=model)
    for other, fits in ((aligner_fingerprint(model)[:16], True), ("0" * 16, False)):
        moved = said(rows, aligned_by={"method": "realign", "model": other})
        if fits:
            store = EmbeddingStore(moved, ids=range(30), side="substitute", aligner=model)
            np.testing.assert_allclose(store.take(np.arange(30)), unit(rows), rtol=1e-6)  # not moved again
        else:
            with pytest.raises(InputError, match="was moved by another aligner"):
                EmbeddingStore(moved, ids=range(30), side="substitute", aligner=model)


@given(st.integers(1, 60), st.integers(1, 17), st.integers(1, 3), st.integers(0, 5))
def test_every_epoch_takes_every_conversation_once(n, batch, epochs, seed):
    lengths = np.random.default_rng(seed).integers(1, 100, n)
    order = Order(lengths, batch, epochs, seed)
    for epoch in range(epochs):
        steps = range(epoch * order.per_epoch, (epoch + 1) * order.per_epoch)
        taken = [order.batch(step) for step in steps]
        assert sorted(np.concatenate(taken).tolist()) == list(range(n))
        assert max(map(len, taken)) <= batch
    assert order.steps == epochs * order.per_epoch


def test_an_order_can_be_entered_anywhere_and_sorts_by_length():
    lengths = np.random.default_rng(0).integers(1, 1000, 600)
    one, other = Order(lengths, 10, 2, 0), Order(lengths, 10, 2, 0)
    for step in (100, 3, 77):
        np.testing.assert_array_equal(one.batch(step), other.batch(step))
    spread = np.mean([np.ptp(lengths[one.batch(step)]) for step in range(one.per_epoch)])
    assert spread < 0.1 * np.ptp(lengths)
    assert any((Order(lengths, 10, 2, 1).batch(step) != one.batch(step)).any() for step in range(5))


def test_the_learning_rate_rises_then_falls_to_nearly_nothing():
    shares = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert shares[9] == max(shares) == 1
    assert all(a < b for a, b in pairwise(shares[:10]))
    assert all(a > b for a, b in pairwise(shares[10:]))
    assert 0 < shares[-1] < 0.001


def test_noise_is_of_the_size_asked_for_and_unit_again():
    rows = unit(np.random.default_rng(0).normal(size=(400, 256))).astype(np.float32)
    noisy = corrupted(rows, 0.05, (1, 2), np.arange(400))
    np.testing.assert_allclose(np.linalg.norm(noisy, axis=1), 1, rtol=1e-5)
    # The cosine of z and Norm(z + σ ε) is about 1 / sqrt(1 + σ² d).
    assert np.mean((rows * noisy).sum(1)) == pytest.approx((1 + 0.05**2 * 256) ** -0.5, rel=0.01)
    np.testing.assert_array_equal(corrupted(rows, 0.0, (1, 2), np.arange(400)), rows)


def captions(count, times=1):
    """Records of so many ids, each as often."""
    return [{"id": str(number), "caption": "a red ring"} for number in range(count) for _ in range(times)]


class TestHeldOut:
    """Which conversations are not learned from."""

    def held(self, records, share, seed=0):
        return set(parted(Conversations(records), StageSettings(held_out=share, seed=seed))[1].ids.to_pylist())

    def test_all_of_one_id_are_on_one_side(self):
        talks = Conversations(captions(50, times=2))
        learned, held = parted(talks, StageSettings(held_out=0.1))
        assert (len(learned), len(held)) == (90, 10)
        assert set(learned.ids.to_pylist()).isdisjoint(held.ids.to_pylist())
        assert learned.state() == talks.state()

    def test_they_are_chosen_by_seed_and_id_and_not_by_place(self):
        first = self.held(captions(50), 0.1)
        assert first != self.held(captions(50), 0.1, seed=1)
        assert first == self.held(captions(50)[::-1], 0.1)
        assert len(first & self.held(captions(60), 1 / 12)) >= 4

    @pytest.mark.parametrize(("share", "held"), [(1e-9, 1), (0.999, 2)])
    def test_one_at_least_is_on_either_side(self, share, held):
        assert len(self.held(captions(3), share)) == held

    def test_those_without_an_id_are_learned_from(self):
        said = [{"from": "human", "value": "Which?"}, {"from": "gpt", "value": "red"}]
        talks = Conversations([{"conversations": said}] * 5 + captions(2, times=2), text_only=True)
        learned, held = parted(talks, StageSettings(held_out=0.9))
        assert (learned.ids.to_pylist().count(""), len(held)) == (5, 2)

    def test_one_id_is_too_few(self):
        with pytest.raises(InputError, match=r"conversations: held_out = 0\.5 needs two ids at least, not 1"):
            self.held(captions(1), 0.5)


def test_mixed_norms_are_refused_with_what_helps_where_there_is_no_option(tmp_path):
    """`train`, `ask` and `score` have no --norms, and a mixed folder converted to a folder would stay mixed."""
    rows = normalize(np.random.default_rng(0).normal(size=(8, 4)))
    (tmp_path / "e").mkdir()
    for name, part, ids in (("a", rows[:4], "abcd"), ("b", 3 * rows[4:], "efgh")):
        table = pa.table({"id": list(ids), "embedding": part.tolist()})
        pq.write_table(table, tmp_path / "e" / f"{name}.parquet")
    with pytest.raises(InputError, match=r"norms are mixed.* `anisoalign convert` into one file"):
        EmbeddingStore(tmp_path / "e", side="image")
    app(["convert", str(tmp_path / "e"), str(tmp_path / "one.parquet")], standalone_mode=False)
    store = EmbeddingStore(tmp_path / "one.parquet", side="image")
    np.testing.assert_allclose(store.take(store.rows_of(["a", "h"])), rows[[0, 7]], atol=1e-6)
