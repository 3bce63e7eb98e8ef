"""Rows mapped on another device are those of the CPU, and what belongs to the CPU stays there."""

from functools import partial

import numpy as np
import pytest
import torch

from anisoalign.aligners import METHODS, on_device, transforming
from anisoalign.aligners.modules import Served
from anisoalign.aligners.on_device import TilesOnDevice, device_for, lies_on, mapped_on, tiles_on
from anisoalign.embeddings import EmbeddingWriter, InputError, open_embeddings, write_tiles

DRAWING = ("c3", "random-target")
MAPPING = [name for name in METHODS if name not in DRAWING]
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(scope="module")
def rows(make_planted):
    data = make_planted(rows=300, dim=16)
    return (3 * data.source).astype(np.float32), data.target.astype(np.float32)


@pytest.fixture(scope="module")
def fitted(rows):
    return {name: method().fit(*rows) for name, method in METHODS.items()}


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("name", MAPPING)
@pytest.mark.parametrize("out_dtype", ["float16", "float32"])
def test_tiles_that_cross_over_are_mapped_as_on_the_cpu(fitted, rows, name, out_dtype, tmp_path, write_shards):
    """Tiles of several lengths, since a worker's memory is used again."""
    source = open_embeddings(write_shards(tmp_path / "y", rows[0], [20, 150, 1, 90, 39]))
    with EmbeddingWriter(tmp_path / "z", 16, out_dtype) as writer:
        write_tiles(source, writer, partial(tiles_on, fitted[name], "cpu", out_dtype))
    got = np.concatenate([tile.values for tile in open_embeddings(tmp_path / "z").tiles(np.float64)])
    expected = fitted[name].transform(rows[0], dtype="float64", out_dtype="float64")
    np.testing.assert_allclose(got, expected, atol=2e-5 if out_dtype == "float32" else 1e-3)


@pytest.mark.parametrize("name", MAPPING)
def test_a_tensor_is_mapped_where_it_lies_and_can_be_trained_on(fitted, rows, name):
    raw = torch.from_numpy(rows[0]).requires_grad_()
    aligned = mapped_on(fitted[name], raw, "float32")
    np.testing.assert_allclose(aligned.numpy(), fitted[name].transform(rows[0]), atol=1e-5)
    projector = torch.nn.Linear(16, 2)
    projector(aligned).sum().backward()  # needs rows that autograd may keep
    assert projector.weight.grad is not None
    assert raw.grad is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e-30, 1e25])
def test_rows_without_a_direction_in_float32_are_left_to_the_cpu(fitted, rows, value):
    raw = torch.from_numpy(rows[0].copy())
    raw[7] = value
    assert mapped_on(fitted["realign"], raw, "float32") is None


def test_where_rows_are_mapped(fitted, rows, two_gpus):
    model, drawing = fitted["aniso-align"], fitted["c3"]
    tensor = torch.from_numpy(rows[0])
    assert device_for(model, rows[0], "auto", "auto", "float32") == CPU
    assert device_for(model, tensor, "auto", "auto", "float32") == CPU
    assert device_for(model, tensor.to("meta"), "auto", "auto", "float32") == torch.device("meta")
    assert device_for(model, tensor.to("meta"), "auto", "float64", "float32") == CPU
    assert device_for(model, tensor.to("meta"), "auto", "auto", "float64") == CPU
    assert device_for(drawing, tensor.to("meta"), "auto", "auto", "float32") == CPU
    assert device_for(model, rows[0], "cuda:1", "auto", "float16") == torch.device("cuda", 1)
    for refused, match in (
        ((model, rows[0], "cuda:2", "auto", "float32"), "device cuda:2 is not there: PyTorch finds 2 CUDA"),
        ((model, rows[0], "tpu", "auto", "float32"), "device must be auto, cpu, cuda or cuda:N, not 'tpu'"),
        ((model, rows[0], "cuda", "float64", "float32"), "on cuda rows are mapped in float32"),
        ((model, rows[0], "cuda", "auto", "float64"), "on cuda rows are mapped in float32"),
        ((drawing, rows[0], "cuda", "auto", "float32"), "c3 draws for each row by its number, on the CPU"),
    ):
        with pytest.raises(InputError, match=match):
            device_for(*refused)
    assert device_for(drawing, rows[0], "cpu", "float64", "float64") == CPU


def test_a_device_without_a_number_is_any_of_its_kind():
    assert lies_on(torch.empty(1, device="meta"), torch.device("meta"))
    assert not lies_on(torch.empty(1), torch.device("meta"))
    assert not lies_on(torch.empty(1, device="meta"), torch.device("meta", 3))


@pytest.fixture
def pretended(monkeypatch):
    """A GPU that is the CPU, for the ways to it."""
    places = {"cuda": GPU}
    monkeypatch.setattr(transforming, "device_for", lambda model, source, device, *rest: places.get(device, CPU))
    monkeypatch.setattr(transforming, "tiles_on", lambda model, device, out_dtype: TilesOnDevice(model, CPU, out_dtype))


@pytest.mark.parametrize("shape", ["rows", "one", "tensor"])
def test_every_container_goes_there_and_comes_back(fitted, rows, pretended, shape):
    model, source = fitted["aniso-align"], rows[0][:50]
    given = {"rows": source, "one": source[3], "tensor": torch.from_numpy(source)}[shape]
    got = model.transform(given, device="cuda")
    assert isinstance(got, torch.Tensor) == (shape == "tensor")
    expected = model.transform(source[3] if shape == "one" else source)
    np.testing.assert_allclose(np.asarray(got), expected, atol=1e-5)


def test_bad_rows_of_any_device_are_named(fitted, rows, monkeypatch):
    """Also on devices that no files are mapped on, as an Apple GPU."""
    apple = torch.device("mps")
    monkeypatch.setattr(transforming, "device_for", lambda *given: apple)
    monkeypatch.setattr(transforming, "lies_on", lambda *given: True)
    broken = torch.from_numpy(rows[0].copy())
    assert fitted["realign"].transform(broken).shape == broken.shape
    broken[11] = 0.0
    with pytest.raises(InputError, match="row 11 is zero"):
        fitted["realign"].transform(broken)


def test_bad_rows_are_named_there_as_well(fitted, rows, pretended):
    broken = rows[0].copy()
    broken[11] = np.nan
    with pytest.raises(InputError, match="row 11"):
        fitted["realign"].transform(torch.from_numpy(broken), device="cuda")


def test_one_device_does_not_finish_what_another_began(fitted, rows, pretended, tmp_path, write_shards):
    model, source, out = fitted["realign"], write_shards(tmp_path / "y", rows[0], [20] * 15), tmp_path / "z"

    def stop(done):
        if list(tmp_path.glob("z.partial/[!.]*.npy")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.transform(source, out, device="cuda", progress=stop)
    with pytest.raises(InputError, match=r"device"):
        model.transform(source, out, device="cpu")
    model.transform(source, out, device="cuda")
    got = np.concatenate([tile.values for tile in open_embeddings(out).tiles(np.float64)])
    np.testing.assert_allclose(got, model.transform(rows[0]), atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
@pytest.mark.parametrize("name", MAPPING)
def test_a_gpu_gives_the_rows_of_the_cpu(fitted, rows, name, tmp_path):
    expected = fitted[name].transform(rows[0])
    there = fitted[name].transform(torch.from_numpy(rows[0]).cuda())
    assert there.is_cuda
    np.testing.assert_allclose(there.cpu().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(fitted[name].transform(rows[0], device="cuda"), expected, atol=1e-5)
    np.save(tmp_path / "y.npy", rows[0])
    fitted[name].transform(tmp_path / "y.npy", tmp_path / "z.npy", device="cuda")
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), expected, atol=1e-5)


def test_a_long_tensor_is_mapped_piece_by_piece(fitted, rows, monkeypatch):
    """A memory's softmax has a column for each row held: all at once it would need rows × rows."""
    raw, seen = torch.from_numpy(rows[0]), []
    monkeypatch.setattr(on_device, "PIECE", 64)
    forward = Served.forward
    monkeypatch.setattr(Served, "forward", lambda self, part: (seen.append(len(part)), forward(self, part))[1])
    aligned = mapped_on(fitted["memory-projection"], raw, "float32")
    assert max(seen) == 64
    assert sum(seen) == len(raw)
    np.testing.assert_allclose(aligned.numpy(), fitted["memory-projection"].transform(rows[0]), atol=1e-5)
