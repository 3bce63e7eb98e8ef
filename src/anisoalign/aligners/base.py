"""The small base under all methods: fit from statistics, calibrate, transform, save."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from anisoalign.aligners.constant import SIDES, constant_sides, refuse_constant, remember_constant
from anisoalign.aligners.contents import ENERGY, NULL, ORIGINS, Shape, Value, number, whole
from anisoalign.aligners.drift import remember_sources, warn_of_drift
from anisoalign.aligners.estimator import Estimator, not_fitted
from anisoalign.aligners.maps import AffineMap, MappedMean, MappedTile
from anisoalign.aligners.origins import open_sets, origins
from anisoalign.aligners.parameters import FRAMES, one_of
from anisoalign.embeddings import EmbeddingSet, InputError, RemotePath, Tile, open_embeddings, operations_alone
from anisoalign.statistics import Moments, Order, float64_below, measure

Progress = Callable[[int], None]
Mapping = Callable[[Tensor, np.ndarray], Tensor]
TileMapping = Callable[[Tile], Tensor]


def torch_dtype(dtype: np.dtype) -> torch.dtype:
    """Torch's name for float32 or float64."""
    return torch.float64 if dtype == np.float64 else torch.float32


class Aligner(Estimator):
    """Base of the methods: turns source embeddings into substitutes for target embeddings, without pairs.

    A subclass states what it needs to know (`order`), whether a centroid calibration follows (`calibrated`)
    and implements `_fit(source, target)`; most set `weight_` and `bias_` and inherit the rest.

    Attributes
    ----------
    n_features_in_ : int
        Width d.
    provenance_ : dict
        What a model remembers of the sets it was fitted on: rows, type, format, norms, and their encoder.
    target_mean_ : ndarray, shape (d,)
        μx.
    calibration_mean_ : ndarray, shape (d,)
        μ̂, mean of the mapped source before calibration; only where `calibrated`.
    source_mean_, source_energy_, source_dimension_
        Mean, energy and effective dimension of the sources, against which `transform` holds new rows; of models fitted
        from the moments of at least 20 rows.
    """

    name: ClassVar[str]
    """Name on the command line."""
    order: ClassVar[Order] = "mean"
    """How much of the second moments the method needs."""
    calibrated: ClassVar[bool] = False
    """Whether `calibrate`, one more pass over the source, follows the statistics."""
    weight_: np.ndarray
    bias_: np.ndarray
    provenance_: dict[str, Any]
    source_mean_: np.ndarray
    source_energy_: dict[str, float]
    source_dimension_: float
    is_held_to_sources: ClassVar[bool] = True
    """Whether rows that are not like the fitted sources are told of."""
    keeps_rows: ClassVar[bool] = False
    """Whether the fitted model holds target rows."""
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Named sets of parameters."""
    from_statistics: ClassVar[bool] = True
    """Whether moments determine the method; otherwise there is only `fit`."""
    side: ClassVar[str] = "source"
    """Whose rows are mapped."""
    frame: str = "target"
    """Where aligned rows lie: among the targets, or with them in a "common" frame, each side less its own mean."""

    def fit(
        self,
        source: Any,
        target: Any,
        *,
        dtype: str = "auto",
        progress: Progress | None = None,
        force: bool = False,
    ) -> Self:
        """Fit on unpaired rows.

        Parameters
        ----------
        source, target : array (n, d), tensor, path or EmbeddingSet
            Any number of rows each, in any order; normalised on the way.
        dtype : {"auto", "float32", "float64"}
            Precision of the passes; "auto" is float64 up to 200,000 rows.
        progress : callable, optional
            Called with the number of rows of each tile read.
        force : bool
            Fit although the sets say that they come from different encoders.

        Raises
        ------
        InputError
            If the widths or (unless `force`) the encoders differ, a row is NaN, infinite or zero, or a side of a common
            frame is one row over and over.
        """
        source, target = open_sets(source, target, force)
        self.fit_from_statistics(
            measure(source, self.order, dtype=dtype, progress=progress),
            measure(target, self.order, dtype=dtype, progress=progress),
        )
        if self.calibrated:
            self.calibrate(source, dtype=dtype, progress=progress)
        self.provenance_ = origins(source, target)
        return self

    def fit_from_statistics(self, source: Moments, target: Moments) -> Self:
        """Fit from the moments of two sets of unit rows; where `calibrated`, follow with `calibrate`.

        Raises
        ------
        InputError
            If the frame is the common one and a side is one row over and over.
        """
        if source.dim != target.dim:
            raise ValueError(f"source rows have width {source.dim}, target rows {target.dim}")
        if min(source.n, target.n) == 0:
            raise ValueError("moments of no rows: there is nothing to fit")
        self._check_parameters()
        sides = constant_sides(source, target)
        refuse_constant(self.frame, sides)
        remember_constant(self, sides)
        self.__dict__.pop("provenance_", None)  # of sets that were fitted before
        self.n_features_in_ = source.dim
        self.target_mean_ = target.mean.copy()
        self.calibration_mean_ = None
        with operations_alone():  # the last digits of a decomposition depend on how many threads share it
            self._fit(source, target)
        if self.is_held_to_sources:
            remember_sources(self, source)
        self._fitted_with = self.get_params()
        return self

    @property
    def fitted_with(self) -> dict[str, Any]:
        """Parameters of the fit, by which rows are mapped: `set_params` changes those of the next one alone.

        Examples
        --------
        >>> from anisoalign import C3
        >>> rows = np.eye(3)
        >>> C3(noise=0.1).fit(rows, rows.copy()).set_params(noise=0.2).fitted_with["noise"]
        0.1
        """
        return vars(self).get("_fitted_with") or self.get_params()

    def _check_parameters(self) -> None:
        """Raise ValueError for a parameter out of range."""
        one_of("frame", self.frame, FRAMES)

    def _fit(self, source: Moments, target: Moments) -> None:
        raise NotImplementedError

    def _held_values(self) -> dict[str, Value]:
        """Fitted values that are no arrays, by name; one may be needed for the others that there are."""
        sources = {"source_energy_": ENERGY, "source_dimension_": number(0)}
        known = any(hasattr(self, name) for name in sources)
        return {
            "n_features_in_": whole(1),
            "provenance_": ORIGINS,
            "constant_sides_": SIDES,
            "calibration_mean_": NULL,  # where it is no array: the method has none, or `calibrate` is still to come
            **{name: value._replace(needed=known) for name, value in sources.items()},
        }

    def _held_arrays(self) -> dict[str, Shape]:
        """Fitted arrays, by name: those that go with the values that are held already."""
        d = self.n_features_in_
        weights: dict[Order, Shape] = {"mean": (), "diagonal": (d,), "full": (d, d)}
        held: dict[str, Shape] = {"weight_": weights[self.order], "bias_": (d,), "target_mean_": (d,)}
        if not hasattr(self, "calibration_mean_"):
            held["calibration_mean_"] = (d,)
        if hasattr(self, "source_energy_"):
            held["source_mean_"] = (d,)
        return held

    def calibrate(self, source: Any, *, dtype: str = "auto", progress: Progress | None = None) -> Self:
        """Store μ̂, the mean of the mapped source, in one pass, so that one row can be transformed alone.

        A model with a dial stores that of the strength in use.
        """
        source = open_embeddings(source, name="source")
        mapped = partial(self._mapped_means, float64_below(source.rows, dtype))
        self.calibration_mean_ = measure(source, "mean", dtype=dtype, summary=mapped, progress=progress).mean
        return self

    def _mapped_means(self, dtype: np.dtype) -> Callable[[Tile], Moments]:
        """Make, for one worker, the mean of what a tile is mapped to before calibration."""
        return MappedMean(self._map(dtype, calibrate=False))

    def _map(self, dtype: np.dtype, calibrate: bool = True) -> AffineMap:
        """The fitted map in a precision, for one worker."""
        self._check_fitted()
        shift, bias = None, self.bias_
        if not self.calibrated:
            bias = bias + (self._centre() - self.target_mean_)
        elif calibrate:
            if self.calibration_mean_ is None:
                raise not_fitted(f"{type(self).__name__} was fitted from statistics; call calibrate(source) first")
            shift = self._centre() - self.calibration_mean_
        return AffineMap(self.weight_, bias, shift, torch_dtype(dtype))

    def _centre(self) -> np.ndarray:
        """Where the mean of aligned rows is put before the last step onto the sphere: μx, or 0 in a common frame."""
        return self.target_mean_ if self.fitted_frame == "target" else np.zeros_like(self.target_mean_)

    @property
    def whole(self) -> Aligner:
        """The fitted model that this is a side of: itself, or that of a targets' side."""
        return self

    @property
    def fitted_frame(self) -> str:
        """The frame in use, "target" or "common"."""
        return self.fitted_with.get("frame", "target")

    def in_frame(self, frame: str) -> Self:
        """A copy that puts rows into another frame, without refitting.

        In the "target" frame aligned sources lie where targets lie, and targets stay as they are. In the "common" one
        each side is less its own mean, z = Norm(z' − μ̂) and x = Norm(x' − μx), so that a cosine no longer counts what
        all rows of a side share: for search. Map the targets with `targets()`.

        Raises
        ------
        ValueError
            If there is no such frame.
        TypeError
            If the method has the target's frame alone.
        InputError
            If a side is one row over and over, of which nothing is left in a common frame.

        Examples
        --------
        >>> from anisoalign import ReAlign
        >>> rows = np.random.default_rng(0).normal(size=(500, 4))
        >>> model = ReAlign().fit(rows + 1, rows - 1).in_frame("common")
        >>> bool(abs(model.transform(rows + 1).mean(axis=0)).max() < 0.1)
        True
        """
        self._check_fitted()
        one_of("frame", frame, FRAMES)
        if "frame" not in self.get_params():
            raise TypeError(f"{self.name} has the target's frame alone")
        refuse_constant(frame, getattr(self, "constant_sides_", ()))
        other = copy.copy(self)
        other.frame = frame
        other._fitted_with = {**self.fitted_with, "frame": frame}
        return other

    def targets(self) -> Aligner:
        """The map of the targets into the frame in use: Norm(x − μx) in a common one, else Norm(x).

        Examples
        --------
        >>> from anisoalign import MeanShift
        >>> text, image = np.eye(3), np.eye(3)[::-1] + 1
        >>> model = MeanShift(frame="common").fit(text, image)
        >>> bool(abs(model.targets().transform(image).mean(axis=0)).max() < 1e-6)
        True
        """
        from anisoalign.aligners.targets import Targets

        self._check_fitted()
        return Targets.of(self)

    def mapping(self, dtype: np.dtype) -> Mapping:
        """Function from a tile of unit rows and their global numbers to aligned rows, for one worker.

        It may overwrite its argument, and its result is valid until its next call.
        """
        move = self._map(dtype)
        return lambda rows, numbers: move(rows)

    @property
    def takes_undivided(self) -> bool:
        """Whether the mapping is the affine map alone, which makes rows unit as it goes."""
        return type(self).mapping is Aligner.mapping

    def tile_mapping(self, dtype: np.dtype, first_row: int = 0, out_dtype: str = "float32") -> TileMapping:
        """`mapping` of a tile, read undivided where the model takes that; in `out_dtype` where that saves a cast."""
        if self.takes_undivided:
            return MappedTile(self._map(dtype), out_dtype)
        mapping = self.mapping(dtype)
        return lambda tile: mapping(torch.from_numpy(tile.values), tile.rows + first_row)

    def transform(
        self,
        source: Any,
        out: str | Path | RemotePath | None = None,
        *,
        dtype: str = "auto",
        out_dtype: Any = "float32",
        first_row: int = 0,
        force: bool = False,
        device: str = "auto",
        **options: Any,
    ) -> Any:
        """Substitutes for target embeddings, as unit rows in the container given.

        Parameters
        ----------
        source : array (n, d) or (d,), tensor, path or EmbeddingSet
            Normalised on the way.
        out : path, optional
            Where the rows are written; needed where `source` is a path, allowed for all.
        dtype : {"auto", "float32", "float64"}
            Precision of the map; "auto" is float64 up to 20,000 rows and where that is asked for, else float32.
        out_dtype : str or dtype
            Precision of the result: float16, float32 or float64.
        first_row : int
            Global number of the first row of an array; methods with random draws key them by row number.
        force : bool
            Transform although the rows say that they come from another encoder, or are of another modality, than the
            fitted sources.
        device : {"auto", "cpu", "cuda", "cuda:N"}
            Where rows are mapped; a GPU does it in float32. "auto" is a tensor's own device, the CPU for all else and
            for what a GPU does not do: float64, and methods that draw for each row.
        **options
            Passed to `write_transformed`: ``format``, ``overwrite``, ``progress``.

        Returns
        -------
        array, tensor, or Path
            Like `source`; the path `out` where rows were written.

        Raises
        ------
        InputError
            If the width or (unless `force`) the encoder or modality is not the fitted one, a row is unusable, `out` is
            missing for a path, or the device is not there or no place for what is asked.

        Warns
        -----
        AlignmentWarning
            Where the mean of the rows, of a sample of them if they are many, is not that of the fitted sources.
        """
        self._check_fitted()
        warn_of_drift(self, source)
        given = {"dtype": dtype, "out_dtype": out_dtype, "first_row": first_row, "force": force, "device": device}
        return self._transformed(source, out, **given, **options)

    def _transformed(self, source: Any, out: Any, *, first_row: int = 0, **options: Any) -> Any:
        """`transform` of rows that nobody looks at beforehand."""
        from anisoalign.aligners.transforming import refuse_reading, transform_rows, write_transformed

        refuse_reading(options)
        if out is not None:
            if first_row:
                raise InputError("first_row numbers rows in memory; rows that are written are numbered from 0")
            return write_transformed(self, source, out, **options)
        if isinstance(source, (str, Path, RemotePath)) or (
            isinstance(source, EmbeddingSet) and source.path is not None
        ):
            raise InputError("transforming a file or folder needs out=PATH, where the aligned rows are written")
        if of_files := [name for name in options if name not in ("dtype", "out_dtype", "force", "device")]:
            raise TypeError(
                f"without out=PATH there is no {', '.join(of_files)}: rows in memory are returned as they are"
            )
        return transform_rows(self, source, first_row=first_row, **options)

    def passes(self, source_rows: int, target_rows: int) -> tuple[int, int]:
        """How often `fit` reads the whole source, and the whole target.

        Examples
        --------
        >>> from anisoalign import ReAlign
        >>> ReAlign().passes(1000, 1000)
        (2, 1)
        """
        return (0 if self.keeps_rows else 2 if self.calibrated else 1), 1

    def notes(self) -> list[str]:
        """What a person should know of this fit, in sentences; none for most methods."""
        return []

    def save(self, path: str | Path) -> None:
        """Write config.json, model.safetensors and a README.md card into the folder `path`.

        A saved model that is there is replaced, once the new one is complete; anything else is left alone.
        """
        from anisoalign.aligners.saving import save

        self._check_fitted()
        save(self, path)

    def save_pretrained(self, path: str | Path) -> None:
        """`save`, under the name that Hugging Face's libraries use."""
        self.save(path)

    @classmethod
    def from_pretrained(cls, repo_or_path: str | Path, *, revision: str | None = None, **options: Any) -> Self:
        """Model in a local folder, or "user/name" on the Hugging Face Hub; see `aligners.hub.pull`.

        Raises
        ------
        InputError
            If there is none, or it is of another method than the class asked for (`Aligner` takes any).
        """
        from anisoalign.aligners.hub import pull

        model = pull(repo_or_path, revision=revision, **options)
        if not isinstance(model, cls):
            raise InputError(f"{repo_or_path} holds a {type(model).__name__}, not a {cls.__name__}")
        return model

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload to the Hugging Face Hub with a model card and return the commit's address; see `aligners.hub.push`."""
        from anisoalign.aligners.hub import push

        self._check_fitted()
        return push(self, repo_id, **options)

    def _check_fitted(self) -> None:
        if not hasattr(self, "n_features_in_"):
            raise not_fitted(f"this {type(self).__name__} is not fitted; call fit(source, target) first")
