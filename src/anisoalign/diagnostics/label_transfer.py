"""Do labels learned on aligned rows hold for real targets?"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from anisoalign.diagnostics.repeats import distinct
from anisoalign.embeddings import InputError
from anisoalign.embeddings.labels import written

Labels = Collection[Any]
"""One a row, in a list, an array, a tensor or a Series: strings, or numbers, which are compared as text."""
C = 30.0
"""Inverse regularisation of the logistic regression, as in the protocol."""
SHARED = 1 << 32
"""Entries times classes from which BLAS threads share a product. Two threads gain nothing at a fourth of that and a
third of the time at twice that; they were measured to slow a few hundred rows down 75 times on a busy machine."""


def label_transfer(
    train: Float[np.ndarray, "n d"],
    train_labels: Labels,
    test: Float[np.ndarray, "m d"],
    test_labels: Labels,
) -> float:
    """Accuracy on `test` of a logistic regression (C = 30) trained on `train`; in [0, 1].

    Labels are compared as text: 1 and "1" are the same.

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

    train_labels, test_labels = as_text(train_labels), as_text(test_labels)
    classes = len(np.unique(train_labels))
    if not can_teach(train_labels):
        raise InputError("label transfer needs at least two different labels among the training rows")
    threads = 1 if train.size * classes < SHARED else None
    with threadpool_limits(limits=threads, user_api="blas"), warnings.catch_warnings():
        # Many classes in a small set are common here and no sign of a regression problem.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model = LogisticRegression(C=C, max_iter=5000).fit(train, train_labels)
        return float(np.mean(model.predict(test) == test_labels))


def as_text(labels: Labels) -> np.ndarray:
    """Labels as strings, whatever they were given as; whole numbers alike, as a gap makes floats of a column.

    Examples
    --------
    >>> as_text([1, "1", 1.0, "cat"]).tolist()
    ['1', '1', '1', 'cat']
    """
    if not isinstance(labels, list | tuple):  # of these numpy would make one type, and 1.0 of a 1 beside it
        labels = np.asarray(labels)
    return np.asarray([written(label) for label in labels])


def largest_share(labels: Labels) -> float:
    """Share of the rows that have the most common label: what always saying it would score.

    Examples
    --------
    >>> largest_share(["cat", "dog", "cat", "cat"])
    0.75
    """
    counts = np.unique(as_text(labels), return_counts=True)[1]
    return float(counts.max() / counts.sum())


def guessed(accuracy: float, error: float, majority: float | None) -> bool:
    """Whether an accuracy is not above the share of the most common label by two standard errors.

    Examples
    --------
    >>> guessed(0.52, 0.02, 0.5), guessed(0.7, 0.02, 0.5), guessed(0.0, 0.0, None)
    (True, False, False)
    """
    return majority is not None and accuracy <= majority + 2 * error


def check_labels_meet(source_labels: Labels, target_labels: Labels) -> None:
    """Raise InputError where no label of one side is one of the other's: accuracy would be 0 whatever the method.

    Examples
    --------
    >>> check_labels_meet([0, 1], ["1", "2"])
    >>> try:
    ...     check_labels_meet(["Dog"], ["dog"])
    ... except InputError as error:
    ...     print(error)
    no source label is a target label ('Dog' and 'dog', for example): label transfer needs the same names on both sides
    """
    source, target = as_text(source_labels), as_text(target_labels)
    if len(source) and len(target) and not np.isin(source, target).any():
        raise InputError(
            f"no source label is a target label ({str(source[0])!r} and {str(target[0])!r}, for example): label "
            "transfer needs the same names on both sides"
        )


def can_teach(labels: Labels) -> bool:
    """Whether there are two different labels, so that one can be told from another.

    Examples
    --------
    >>> can_teach(["cat", "dog", "cat"]), can_teach(["1", 1])
    (True, False)
    """
    return len(np.unique(as_text(labels))) > 1


def check_can_teach(side: str, labels: Labels) -> None:
    """Raise InputError where labels of the rows that are used are all the same, or name single rows and no classes.

    Examples
    --------
    >>> try:
    ...     check_can_teach("source", ["cat", "cat"])
    ... except InputError as error:
    ...     print(error)
    label transfer needs at least two different labels: all 2 source rows that are used are 'cat'; leave labels out
    """
    names = np.unique(as_text(labels))
    if len(names) < 2:
        raise InputError(
            f"label transfer needs at least two different labels: all {len(labels):,} {side} rows that are used are "
            f"{str(names[0])!r}; leave labels out"
        )
    if len(names) == len(labels):
        raise InputError(
            f"label transfer needs labels that rows have in common: the {len(labels):,} {side} rows that are used have "
            f"as many different ones ({str(names[0])!r}, {str(names[1])!r}, ...), as names of single rows are; leave "
            "labels out, or name a column of classes"
        )


def warn_of_rare_labels(labels: Labels, without: int, parts: int, what: str) -> None:
    """Warn, once for all of them, of parts that train on one label only, and of the few rows of the others."""
    names, counts = np.unique(as_text(labels), return_counts=True)
    most = int(counts.argmax())
    left = "; there is none" if without == parts else f"; it is the mean over the other {parts - without}"
    warnings.warn(
        f"{without} of {parts} {what} have only one label left to train on and give no label transfer{left}: "
        f"{counts[most]:,} of {counts.sum():,} rows are {str(names[most])!r}; leave labels out, or use more rows of "
        "others",
        stacklevel=2,
    )


def cross_fitted_label_transfer(
    aligned: Float[np.ndarray, "n d"],
    target: Float[np.ndarray, "n d"],
    labels: Labels,
    folds: int = 5,
    seed: int = 0,
) -> float | None:
    """Label transfer where row i of both sets is the same item; in [0, 1].

    Trained on the aligned rows of all folds but one and tested on the targets of that one, so no target is
    tested with a classifier that saw its own text. Equal targets, as of an image that stands once for each of its
    captions, are in the same fold. A fold without which only one label is left is passed over, with a warning; None
    where that is so of each.
    """
    labels, item = as_text(labels), distinct(target)
    folds = min(folds, int(item.max()) + 1)
    fold = (np.random.default_rng(seed).permutation(item.max() + 1) % folds)[item]
    tests = [test for test in (fold == held for held in range(folds)) if can_teach(labels[~test])]
    if len(tests) < folds:
        warn_of_rare_labels(labels, folds - len(tests), folds, "folds")
    hits = sum(t.sum() * label_transfer(aligned[~t], labels[~t], target[t], labels[t]) for t in tests)
    return float(hits / sum(t.sum() for t in tests)) if tests else None
