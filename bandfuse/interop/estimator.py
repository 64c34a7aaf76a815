"""Estimator: learning and fusing under scikit-learn's contract, by the same code as ``bandfuse
train``.

The samples of X are one row of N pixels. Their order matters for what is chosen on held-out samples
alone: folds are runs of neighbouring samples, not random ones. Shuffle X if its order says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from threadpoolctl import threadpool_limits

try:
    from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
    from sklearn.utils.validation import (
        check_array,
        check_consistent_length,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )
except ImportError as error:
    raise ImportError("BandFuser needs scikit-learn: install bandfuse[sklearn].") from error

from bandfuse.config.base import build
from bandfuse.config.train import TrainConfig
from bandfuse.device import plain_errors, require_device
from bandfuse.errors import BandfuseError, ConfigError, MismatchError
from bandfuse.goals import GOALS
from bandfuse.interop.arrays import require_units
from bandfuse.interop.python_words import value_error
from bandfuse.model.fusion import unmasked
from bandfuse.progress import silent
from bandfuse.raster import Labels, in_memory
from bandfuse.scenes.scene import Scene
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.windows import Window
from bandfuse.training.fitting import fit_model
from bandfuse.training.placing import placed
from bandfuse.training.reading import surveyed
from bandfuse.training.settings.defaults import resolve
from bandfuse.training.settings.steps import assessing_of, fitting_of
from bandfuse.trust.assess import plan_regularisation

Strength = float | Literal["auto"] | None


class BandFuser(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Learn K combinations of B bands from (N, B) samples, and give (N, K).

    ``fit(X)`` rebuilds the bands (reconstruction); ``fit(X, y)`` matches y, (N,) or (N, T) numbers
    (regression); with ``objective="separability"`` y are labels of classes. The
    weights are those of ``bandfuse train`` with the same settings on the same pixels.

    Parameters
    ----------
    groups : a SPEC such as ``"equal:8"``, or names with SPECs, ``{"red": "600-700nm"}``; all bands
        if not given.
    objective : ``regression``, ``reconstruction`` (which sees no y), ``separability``, or a sum of
        two; by default by whether there is a y. ``snr`` needs neighbours, and is for images.
    outputs : so many free outputs of each group, the most important first: principal components, or
        linear discriminants.
    constraint : ``auto``, ``free``, ``affine``, ``nonnegative``, ``simplex``; by default as in
        training.
    ridge, smooth, sparse : strengths, ``"auto"``, or None for the default.
    gain, offset : learn a gain beside affine or simplex weights; learn an offset.
    wavelength_nm, fwhm_nm : (B,) of the bands, for groups and smoothness.
    balance : every class counts the same. folds : runs of samples held out in turn. random_state :
        seed, a number.
    any_units : ``transform`` takes values in any units. By default those that are 60 times and more
        larger or smaller than those of ``fit``, or that an offset holds apart, are an error.
    device : where ``fit`` computes: ``auto``, ``cpu``, ``cuda`` or ``mps``, as in training.

    Attributes
    ----------
    fusion_ : the :class:`bandfuse.Fusion`. coef_ (K, B), intercept_ (K,) : ``y = coef_ x +
        intercept_``.
    constraints_ : (K,) those of the outputs. classes_ : labels, for separability.

    A sample with NaN or a numpy mask in a band that is used, or in a target, does not count in
    ``fit``; with one in a band with weight it is NaN in ``transform``.

    >>> x = np.arange(40.0).reshape(20, 2) ** 2
    >>> BandFuser(constraint="free", ridge=0).fit(x, x @ [2.0, -1.0]).coef_.round(6)
    array([[ 2., -1.]])
    """

    def __init__(
        self,
        groups: str | Mapping[str, str] | None = None,
        *,
        objective: str | None = None,
        outputs: int | None = None,
        constraint: str | None = None,
        ridge: Strength = None,
        smooth: Strength = None,
        sparse: Strength = None,
        gain: bool = False,
        offset: bool = True,
        wavelength_nm: Sequence[float] | None = None,
        fwhm_nm: Sequence[float] | None = None,
        balance: bool = False,
        folds: int = 5,
        random_state: int = 0,
        any_units: bool = False,
        device: str = "auto",
    ) -> None:
        self.groups = groups
        self.objective = objective
        self.outputs = outputs
        self.constraint = constraint
        self.ridge = ridge
        self.smooth = smooth
        self.sparse = sparse
        self.gain = gain
        self.offset = offset
        self.wavelength_nm = wavelength_nm
        self.fwhm_nm = fwhm_nm
        self.balance = balance
        self.folds = folds
        self.random_state = random_state
        self.any_units = any_units
        self.device = device

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any = None) -> BandFuser:
        """Learn from (N, B) samples and what they are matched with, or their classes.

        Raises
        ------
        ValueError : samples, settings or groups that do not fit; bandfuse's own error is the cause.
        """
        X = validate_data(
            self, _plain(X), dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2
        )
        X, y = _answered(X, y)
        if y is not None:
            y = check_array(
                y, dtype=None, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y"
            )
            check_consistent_length(X, y)
        try:
            self._learn(np.ascontiguousarray(X.T), y)
        except BandfuseError as error:
            raise value_error(error) from error
        return self

    def _learn(self, x: Floats, y: Any) -> None:
        """From (B, N)."""
        config = self._config(y is not None)
        targets, classes = np.zeros((0, x.shape[1])), np.array([])
        if "classes" in config.gathers:
            classes, numbers = np.unique(column_or_1d(y), return_inverse=True)
            targets, self.classes_ = numbers[None].astype(np.float64), classes
        elif config.goals[0].matches:
            targets = np.asarray(y, dtype=np.float64).reshape(x.shape[1], -1).T
        samples = _Samples.of(x, self._bands(len(x)), targets, classes)
        require_device(config.device)
        effort = Effort.of(None, None, device=config.device)
        with threadpool_limits(limits=1, user_api="blas"):
            found, _ = surveyed(config, [samples], effort, silent)
            how, where = placed(fitting_of(config), effort, found, 0)
            made = (
                plan_regularisation(assessing_of(config), found, silent)
                if config.assessed
                else None
            )
            with plain_errors(where):
                model, _ = fit_model(how, [samples], found, made, silent)
        self.fusion_ = model.common
        self.decoder_ = model.decoder
        self.coef_, self.intercept_ = model.common.matrix, model.common.offset
        n_outputs = len(model.common.outputs)
        self.constraints_ = (
            [str(config.constraint)] * n_outputs if made is None else made.constraints
        )

    def _config(self, with_y: bool) -> TrainConfig:
        """The settings of a training; a word stands for the files that arrays take the place of."""
        given = {
            name: getattr(self, name)
            for name in (
                *("objective", "outputs", "constraint", "ridge", "smooth", "sparse", "folds"),
            )
        }
        objective = given["objective"] or ("regression" if with_y else "reconstruction")
        gathers = [goal.gathers for name, goal in GOALS.items() if name in str(objective)]
        named = "labels" if "classes" in gathers else "target"
        asked = with_y and ("classes" in gathers or "targets" in gathers)
        config = build(
            TrainConfig,
            {
                **given,
                "objective": objective,
                "gain": self.gain,
                "no_offset": not self.offset,
                "device": self.device,
                "precision": "float64",
                "seed": self.random_state,
                "balance": self.balance,
                "group" if isinstance(self.groups, Mapping) else "groups": self.groups,
                named: ["y"] if asked else [],
            },
        )
        noisy = next((goal.name for goal in config.goals if goal.gathers == "noise"), None)
        if noisy:
            raise ConfigError(
                f"objective {noisy} needs neighbouring pixels",
                remedy="Use bandfuse.train or bandfuse.train_arrays on images.",
            )
        return resolve(config)

    def _bands(self, n: int) -> Bands:
        """The table of the bands; names are the columns' of a data frame."""
        names = [
            str(name) for name in getattr(self, "feature_names_in_", [f"x{i}" for i in range(n)])
        ]
        for name in ("wavelength_nm", "fwhm_nm"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise MismatchError(
                    f"{name}=", got=f"{len(column)} numbers", expected=f"{n}, one per band"
                )
        return Bands.of(names, wavelength_nm=self.wavelength_nm, fwhm_nm=self.fwhm_nm)

    def transform(self, X: Any) -> Floats:
        """(N, K) from (N, B); NaN where an input with weight is."""
        check_is_fitted(self)
        X = validate_data(
            self, _plain(X), dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        if not self.any_units:
            try:
                require_units(self.fusion_, X)
            except BandfuseError as error:
                raise value_error(error) from error
        return self.fusion_(X)

    def inverse_transform(self, X: Any) -> Floats:
        """(N, B) from (N, K), after a reconstruction: the bands that come closest by least squares.

        Raises
        ------
        ValueError : the weights are not of a reconstruction, or X has not K columns.
        """
        check_is_fitted(self)
        if self.decoder_ is None:
            raise ValueError(
                "only a reconstruction has a way back: use objective='reconstruction'."
            )
        try:
            return self.decoder_(
                check_array(_plain(X), dtype=np.float64, ensure_all_finite="allow-nan")
            )
        except BandfuseError as error:
            raise value_error(error) from error

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """(K,) the outputs' names."""
        # The names of the inputs are checked as in transformers that keep them.
        OneToOneFeatureMixin.get_feature_names_out(self, input_features)
        return np.array(self.fusion_.outputs.name, dtype=object)


def _plain(X: Any) -> Any:
    """A masked array as floats with NaN where it is masked; checks of scikit-learn lose masks.
    Others as they are."""
    return unmasked(X) if np.ma.isMaskedArray(X) else X


def _answered(X: Floats, y: Any) -> tuple[Floats, Any]:
    """The samples whose y is not masked. Masked floats become NaN, which counts as missing
    anyway."""
    if not np.ma.isMaskedArray(y):
        return X, y
    if y.dtype.kind == "f":
        return X, unmasked(y)
    check_consistent_length(X, y)
    there = ~np.ma.getmaskarray(y).reshape(len(y), -1).any(axis=1)
    return X[there], y.data[there]


@dataclass(frozen=True, eq=False)
class _Samples(Scene):
    """Samples as a scene of one row that is in memory: (D, N) bands, then targets or classes."""

    array: Floats = field(default_factory=lambda: np.empty((0, 0)))

    unit: ClassVar[str] = "samples"
    look: ClassVar[str] = ""

    @classmethod
    def of(cls, x: Floats, bands: Bands, targets: Floats, classes: Iterable[object]) -> _Samples:
        """From (B, N) samples, (T, N) targets or (1, N) numbers of classes, and their names."""
        array, shape = np.concatenate([x, targets]), (1, x.shape[1])
        y = in_memory("y", Bands.of([f"b{i + 1}" for i in range(len(targets))]), shape)
        names = tuple(enumerate(map(str, classes)))
        return cls(
            "X",
            (in_memory("X", bands, shape),),
            target=y if len(targets) and not names else None,
            labels=Labels(y, names=names) if names else None,
            array=array,
        )

    @property
    def called(self) -> str:
        return self.key

    @contextmanager
    def source(self, positions: Sequence[int], *, answers: bool = False) -> Iterator[_Columns]:
        more = range(len(self.bands), len(self.array)) if answers else ()
        yield _Columns(self.array, [*positions, *more])


@dataclass(frozen=True, eq=False)
class _Columns:
    """Some rows of (D, N) samples: source, patch and cell of :mod:`bandfuse.streaming.stream` at
    once."""

    array: Floats
    rows: list[int]

    @property
    def bytes_per_pixel(self) -> int:
        """Of all that is read."""
        return 8 * len(self.rows)

    def read(self, window: Window) -> _Columns:
        """The samples of a window."""
        return replace(self, array=self.array[:, window.col : window.col + window.cols])

    def cell(self, rows: slice, cols: slice) -> _Columns:
        """The samples of a cell."""
        return replace(self, array=self.array[:, cols])

    def values(self) -> Floats:
        """(D, n) a copy: the pass writes over it."""
        return np.ascontiguousarray(self.array[self.rows])

    @property
    def extremes(self) -> None:
        """Not known beforehand."""
