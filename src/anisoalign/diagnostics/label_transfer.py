"""Do labels learned on aligned rows hold for real targets?."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from anisoalign.embeddings import InputError

C = 30.0
"""Inverse regularisation of the logistic regression, as in the protocol."""


def label_transfer(
    train: Float[np.ndarray, "n d"],
    train_labels: Sequence[str] | np.ndarray,
    test: Float[np.ndarray, "m d"],
    test_labels: Sequence[str] | np.ndarray,
) -> float:
    """Accuracy on `test` of a logistic regression (C = 30) trained on `train`; in [0, 1].

    Parameters
    ----------
    train : ndarray, shape (n, d)
        Aligned source rows.
    test : ndarray, shape (m, d)
        Real target rows of other items.

    Raises
    ------
    InputError
        If the training labels are all the same.
    """
    from sklearn.linear_model import LogisticRegression

    train_labels, test_labels = np.asarray(train_labels), np.asarray(test_labels)
    if len(np.unique(train_labels)) < 2:
        raise InputError("label transfer needs at least two different labels among the training rows")
    # The products of a few hundred rows are too small to share: on a busy machine a second BLAS thread was
    # measured to make the fit 75 times slower.
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        # Many classes in a small set are common here and no sign of a regression problem.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model = LogisticRegression(C=C, max_iter=5000).fit(train, train_labels)
        return float(np.mean(model.predict(test) == test_labels))


def cross_fitted_label_transfer(
    aligned: Float[np.ndarray, "n d"],
    target: Float[np.ndarray, "n d"],
    labels: Sequence[str] | np.ndarray,
    folds: int = 5,
    seed: int = 0,
) -> float:
    """Label transfer where row i of both sets is the same item; in [0, 1].

    Trained on the aligned rows of all folds but one and tested on the targets of that one, so no target is
    tested with a classifier that saw its own text.
    """
    labels = np.asarray(labels)
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    hits = 0.0
    for held in range(folds):
        test = fold == held
        hits += test.sum() * label_transfer(aligned[~test], labels[~test], target[test], labels[test])
    return hits / len(labels)
