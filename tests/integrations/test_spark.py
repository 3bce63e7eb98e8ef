"""The recipe for Spark in docs/clusters.md carries out a fit and a transform, to the bytes of one process."""

import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.embeddings import engine_used

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (find_spec("pyspark") and shutil.which("java")), reason="Spark needs pyspark and a Java runtime"
    ),
    # Spark's own sockets and files are left to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"


@pytest.fixture(scope="module")
def recipe():
    """The class that the page shows."""
    (code,) = re.findall(r"```python\n(import pickle\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 30
    found: dict = {}
    exec(compile(code, str(PAGE), "exec"), found)
    return found["SparkEngine"]


@pytest.fixture(scope="module")
def context():
    from pyspark.sql import SparkSession

    before = os.environ.get("PYSPARK_PYTHON")
    os.environ["PYSPARK_PYTHON"] = sys.executable  # workers must have what this process has

    settings = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    builder = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session.sparkContext
    session.stop()
    os.environ.pop("PYSPARK_PYTHON") if before is None else os.environ.update(PYSPARK_PYTHON=before)


def test_the_recipe_does_what_one_process_does(recipe, context, tmp_path, write_shards, make_planted):
    data = make_planted(rows=450, dim=16)
    sizes = [10 * (i + 1) for i in range(9)]
    source = write_shards(tmp_path / "source", data.source.astype(np.float32), sizes)
    target = write_shards(tmp_path / "target", data.target.astype(np.float32), sizes)
    here = aa.ReAlign().fit(source, target)
    here.transform(source, tmp_path / "here")
    with engine_used(recipe(context)):
        there = aa.ReAlign().fit(source, target)
        there.transform(source, tmp_path / "there")
    np.testing.assert_array_equal(here.calibration_mean_, there.calibration_mean_)
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name
