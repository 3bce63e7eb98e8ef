"""What the explorer holds: rows of the encoder that its model was fitted on."""

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.embeddings import EmbeddingWriter, InputError, open_embeddings
from anisoalign.explore.session import Session, Shown


def stored(folder, name, values, encoder, modality):
    about = {"encoder": encoder, "fingerprint": encoder * 8, "modality": modality}
    with (
        EmbeddingWriter(folder / name, values.shape[1], provenance=about) as writer,
        writer.shard(0, rows=len(values)) as shard,
    ):
        shard.write(values)
    return open_embeddings(folder / name, name=name)


@pytest.mark.filterwarnings("ignore:these rows have drifted")
def test_rows_of_another_encoder_or_modality_are_shown_only_when_forced(planted, tmp_path):
    y, x = planted.source.astype(np.float32), planted.target.astype(np.float32)
    text, image = stored(tmp_path, "text", y, "0a", "text"), stored(tmp_path, "image", x, "0a", "image")
    model = aa.MeanShift().fit(text, image)
    shown = Shown({"source": "text", "target": "image"}, {})
    other = stored(tmp_path, "other", y, "0b", "text")
    for source, said in ((other, "different encoders"), (image, "fitted on text embeddings as sources")):
        with pytest.raises(InputError, match=said):
            Session(model, source, image, shown)
        assert Session(model, source, image, shown, force=True).rows_y.size
    assert Session(model, text, image, shown).rows_y.size
