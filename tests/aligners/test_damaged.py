"""A saved model with anything in it removed or garbled is refused when it is read, or maps rows as before."""

import copy
import functools
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import anisoalign as aa

QUICK = {"prior_steps": 3, "refine_steps": 3}
MODELS = {
    "identity": aa.Identity(),
    "mean-shift": aa.MeanShift(),
    "c3": aa.C3(noise=0.1),
    "standardize": aa.Standardize(frame="common"),
    "realign": aa.ReAlign(),
    "blockwise-covariance": aa.BlockwiseCovariance(block=5),
    "whiten-color": aa.WhitenColor(),
    "gaussian-transport": aa.GaussianTransport(rank=5, strength=0.5),
    "memory-projection": aa.MemoryProjection(memory=50),
    "random-target": aa.RandomTarget(memory=50),
    "aniso-align": aa.AnisoAlign(),
    "aniso-align, turned": aa.AnisoAlign(rotation="full", terms="init", strength=0.7),
    "aniso-align, refined": aa.AnisoAlign(terms="init+guide+refine+prior", strength=1.0, **QUICK),
    "aniso-align, published": aa.AnisoAlign.paper(**QUICK),
}
ABSENT = object()
GARBLED = (ABSENT, "x", None, -1.0)


@pytest.fixture(scope="module", params=MODELS)
def saved(request, planted, tmp_path_factory):
    """A folder with a saved model, and what it makes of some rows."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    model = copy.copy(MODELS[request.param]).fit(planted.source, planted.target)
    model.save(folder)
    return folder, model.transform(planted.source[:40])


def is_told(folder, planted, expected) -> bool:
    """Whether a model is refused by the name of its file; one that is not must map rows as before and be saved."""
    said = ""
    try:
        model = aa.load(folder)
    except aa.InputError as error:
        said = str(error)
    if said:
        assert str(folder) in said
        assert "damaged" in said
        assert "\n" not in said
        return True
    np.testing.assert_array_equal(model.transform(planted.source[:40]), expected)
    model.targets().transform(planted.target[:40])
    model.save(folder.with_name("again"))
    return False


def with_arrays(folder, place, arrays):
    shutil.copytree(folder, place, dirs_exist_ok=True)
    save_file(arrays, place / "model.safetensors")
    return place


def test_each_array_is_missed_and_none_may_be_cut_or_without_numbers(saved, planted, tmp_path):
    folder, expected = saved
    arrays = load_file(folder / "model.safetensors")
    for name, array in arrays.items():
        less = {other: value for other, value in arrays.items() if other != name}
        assert is_told(with_arrays(folder, tmp_path / "m", less), planted, expected), name
        damages = [array * np.nan, array[None], array.astype(np.int64)]
        if array.ndim:
            damages += [array[:-1], array[..., :-1], array[:0]]
        for damage in damages:
            if name == "rows_" and len(damage) == len(array) - 1:
                continue  # another number of rows is another memory
            changed = {**arrays, name: np.ascontiguousarray(damage)}
            assert is_told(with_arrays(folder, tmp_path / "m", changed), planted, expected), (name, damage.shape)


def test_no_array_may_be_there_that_the_fit_does_not_leave(saved, planted, tmp_path):
    folder, expected = saved
    arrays = load_file(folder / "model.safetensors")
    d = planted.source.shape[1]
    for name in ("extra_", "guide_more_", "polar_more_", "polar_prior.more_", "transform", "n_features_in_"):
        changed = {**arrays, name: np.ones((d, d))}
        assert is_told(with_arrays(folder, tmp_path / "m", changed), planted, expected), name


def leaves(values, path=()):
    """Where everything in a table of tables and lists lies; of lists of numbers the first alone."""
    items = values.items() if isinstance(values, dict) else enumerate(values[:1])
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))


def changed_at(values, path, value):
    changed = copy.deepcopy(values)
    inside = functools.reduce(lambda held, key: held[key], path[:-1], changed)
    if value is ABSENT:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return changed


def test_each_value_is_missed_or_judged_unless_the_map_does_without_it(saved, planted, tmp_path):
    folder, expected = saved
    config = json.loads((folder / "config.json").read_text())
    shutil.copytree(folder, tmp_path / "m")
    told = {("params", "frame"), ("fitted", "provenance_")}  # models of before, or of moments, are without them
    refined = config["fitted"].get("polar_config_") is not None  # slow to read, with the parameters of the others
    for path in leaves({key: config[key] for key in ("params", "fitted")}):
        if path == ("params", "frame") or (refined and path[0] == "params"):
            continue
        for value in GARBLED if path[0] == "fitted" and len(path) == 2 else GARBLED[:2]:
            changed = changed_at(config, path, value)
            (tmp_path / "m" / "config.json").write_text(json.dumps(changed))
            try:
                if is_told(tmp_path / "m", planted, expected) and value is ABSENT:
                    told.add(path)
            except Exception as error:
                error.add_note(f"{path} as {value!r}")
                raise
    missed = {(part, name) for part in (["fitted"] if refined else ["params", "fitted"]) for name in config[part]}
    assert missed <= told
