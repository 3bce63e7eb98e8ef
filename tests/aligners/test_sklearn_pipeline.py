"""Aligners where scikit-learn is at home: pipelines, clones, and the checks of estimators that apply.

The checks that call ``fit(X, y)`` with labels for y do not apply: an aligner is fitted on two sets of rows.
"""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import (
    check_estimator_cloneable,
    check_estimator_repr,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)

import anisoalign as aa
from anisoalign.aligners import METHODS

CHECKS = [
    check_parameters_default_constructible,
    check_mixin_order,
    check_valid_tag_types,
    check_no_attributes_set_in_init,
    check_get_params_invariance,
    check_set_params,
    check_estimator_cloneable,
    check_estimator_repr,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_the_checks_of_estimators_that_apply(method, check):
    check(method.__name__, method())


@pytest.mark.parametrize("method", ["mean-shift", "realign", "gaussian-transport", "whiten-color"])
def test_a_pipeline_of_two_sets(planted, method):
    pipeline = make_pipeline(Normalizer(), METHODS[method]())
    pipeline.fit(planted.source, planted.target)
    alone = METHODS[method]().fit(planted.source, planted.target).transform(planted.source)
    np.testing.assert_allclose(pipeline.transform(planted.source), alone, atol=1e-6)
    with pytest.raises(NotFittedError):
        clone(pipeline).transform(planted.source)


def test_a_fitted_aligner_stays_as_it_is_before_a_classifier(make_planted):
    known, new = make_planted(rows=400, seed=3), make_planted(rows=400, seed=3)
    half = slice(0, 200), slice(200, 400)
    aligner = aa.ReAlign().fit(source=known.source[half[0]], target=known.target[half[1]])
    before = aligner.transform(known.source)
    trained = make_pipeline(FrozenEstimator(aligner), LogisticRegression(max_iter=2000)).fit(
        known.source[half[0]], known.labels[half[0]]
    )
    np.testing.assert_array_equal(aligner.transform(known.source), before)
    raw = LogisticRegression(max_iter=2000).fit(known.source[half[0]], known.labels[half[0]])
    on_targets = new.target[half[1]], new.labels[half[1]]
    assert trained[-1].score(*on_targets) > raw.score(*on_targets)


def test_fitting_and_transforming_import_no_scikit_learn():
    code = (
        "import sys, numpy as np, anisoalign as aa\n"
        "rows = np.random.default_rng(0).normal(size=(20, 4))\n"
        "print(aa.ReAlign().fit(rows, rows + 1).transform(rows).shape)\n"
        "slow = {'sklearn', 'scipy', 'pandas'} & set(sys.modules)\n"
        "sys.exit(str(slow) if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "(20, 4)\n"), done.stderr
