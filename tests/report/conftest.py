import json

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.comparison import before_after, compare_rows
from anisoalign.report.results import Results

METHODS = (
    "mean-shift",
    "realign",
    "gaussian-transport:strength=0.5",
    "gaussian-transport",
    "identity",
    "random-target",
)


@pytest.fixture(scope="session")
def sets():
    """Paired sets with classes, a gap between their means and different covariances; unit rows."""
    rows, dim, classes = 240, 16, 6
    rng = np.random.default_rng(0)
    label = rng.integers(0, classes, rows)
    meaning = 1.2 * rng.normal(size=(classes, dim))[label] + rng.normal(size=(rows, dim))
    x = meaning * np.linspace(1.5, 0.5, dim) + 0.8 * rng.normal(size=(rows, dim)) + 4.0
    y = meaning + 0.8 * rng.normal(size=(rows, dim)) - 4.0
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    return y, x, [f"class {c}" for c in label]


def through_json(record):
    """The record as whoever reads the file sees it."""
    return json.loads(json.dumps(record, allow_nan=False))


@pytest.fixture(scope="session")
def paired_gap(sets):
    y, x, _ = sets
    return through_json(aa.diagnose(y, x, paired=True).to_dict())


@pytest.fixture(scope="session")
def unpaired_gap(sets):
    y, x, _ = sets
    return through_json(aa.diagnose(y, x).to_dict())


@pytest.fixture(scope="session")
def alignment(sets):
    y, x, labels = sets
    z = aa.ReAlign().fit(source=y, target=x).transform(y)
    return through_json(aa.evaluate(y, x, z, paired=True, source_labels=labels, target_labels=labels).to_dict())


@pytest.fixture(scope="session")
def labelled(sets):
    """Records of a comparison with pairs and labels."""
    y, x, labels = sets
    found = compare_rows(
        y, x, paired=True, source_labels=labels, target_labels=labels, methods=METHODS, repeats=2
    ).to_dicts()
    return through_json(found)


@pytest.fixture(scope="session")
def plain(sets):
    """Records of a comparison with neither pairs nor labels."""
    y, x, _ = sets
    return through_json(compare_rows(y, x[:200], methods=METHODS, repeats=2).to_dicts())


@pytest.fixture
def hostile(labelled):
    """Records in which a method's name is everything that a name should not be."""
    records = [dict(record) for record in labelled]
    records[0]["method"] = '<script>alert("$x$ | `y` *z*")</script>'
    return records


@pytest.fixture(scope="session")
def view(sets):
    y, x, _ = sets
    model = aa.ReAlign().fit(y, x)
    z = model.transform(y, out_dtype="float64")
    return json.loads(json.dumps(before_after(y, x, z, method="realign", model=model, paired=True).to_dict()))


@pytest.fixture(scope="session")
def everything(paired_gap, alignment, labelled, view, sets):
    y, x, labels = sets
    turned = compare_rows(
        y, x, paired=True, methods=["realign", "gaussian-transport:strength=0.5", "identity"], repeats=2, dials=True
    )
    records = [{**a, **b} for a, b in zip(turned.to_dicts(), turned.costs(), strict=True)]
    return Results(
        diagnose=[paired_gap],
        evaluate=alignment,
        compare=records,
        views=[view],
        captions={"source": {str(i): f"text that says {labels[i]}" for i in range(len(y))}},
        names={"source": "text", "target": "image"},
    )
