"""A made-up hyperspectral scene with a known answer: a landscape, its cube, and a target fused from
that cube.

::

    library of spectra (material × variant) ─┐
    map of abundances, patches and parcels ──┼─► × gain (light, slope, ripple) ─► + noise ─► int16
                                             cube ┘
                                             │
                              target = responses @ (cube · scale) + noise ◄────────────────────┘

The spectra are closed forms after the absorption features in Clark, "Spectroscopy of rocks and
minerals, and principles of spectroscopy", Manual of Remote Sensing 3, 1999. They look right; they
are no measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import ConfigError
from bandfuse.spectral.bands import Bands, Floats

Singles = NDArray[np.float32]
Flags = NDArray[np.bool_]

NODATA = -32768
SCALE = 1e-4
EPSG = 32633
TRANSFORM = (5.0, 0.0, 412340.0, 0.0, -5.0, 5412760.0)
BAD = "flagged bad (bbl)"
WATER_VAPOUR_NM = ((1350.0, 1430.0), (1800.0, 1950.0))
"""Where the atmosphere lets too little light through; the bands in there are flagged and hold
noise."""

TARGETS = (
    ("blue", 490.0, 65.0),
    ("green", 560.0, 35.0),
    ("red", 665.0, 30.0),
    ("nir", 842.0, 115.0),
)
"""Name, centre and full width at half maximum (nm) of the target bands."""

SMALLEST = 8
"""The fewest rows, columns and bands of a scene."""


@dataclass(frozen=True, eq=False)
class SyntheticScene:
    """A cube of B bands, a target of T bands, and the weights that lead from one to the other.

    Columns
    -------
    cube : (B, H, W) int16, reflectance / scale with noise; ``nodata`` in one corner, in all bands.
    bands : the B bands, with wavelengths and widths in nm; those in the water vapour carry a
        reason.
    nodata, scale : the number that means "no value", and reflectance per digital number.
    target : (T, H, W) float32 reflectance, ``responses @ (cube · scale)`` plus noise; NaN where the
        cube is nodata.
    target_names, target_wavelength_nm, target_fwhm_nm : (T,) the target bands.
    responses : (T, B) float64, the true weights: not negative, each row sums to one, zero for bad
        bands.
    transform, epsg : the six numbers of rasterio's Affine (a, b, c, d, e, f) in metres, and the UTM
        zone's code."""

    cube: NDArray[np.int16]
    bands: Bands
    nodata: int
    scale: float
    target: Singles
    target_names: tuple[str, ...]
    target_wavelength_nm: Floats
    target_fwhm_nm: Floats
    responses: Floats
    transform: tuple[float, float, float, float, float, float]
    epsg: int

    @property
    def valid(self) -> Flags:
        """(H, W) True where the scene has values."""
        return np.asarray(self.cube[0] != self.nodata, dtype=bool)


def scene(
    rows: int = 200,
    cols: int = 240,
    n_bands: int = 140,
    *,
    snr_db: float | None = 45.0,
    cube_noise: float = 0.001,
    seed: int = 0,
) -> SyntheticScene:
    """Make a scene; the same arguments give the same scene.

    Parameters
    ----------
    rows, cols, n_bands : H, W and B, each 8 or more.
    snr_db : signal-to-noise ratio of each target band, ``10 log10(s² / n²)`` with s² the population
        variance of the noise-free band over the valid pixels and n² the variance of its white
        Gaussian noise. None or inf: no noise.
    cube_noise : standard deviation of the cube's white Gaussian noise, in reflectance, where the
        sensor is at its best; up to three times that near the water vapour and at the ends of the
        range. Bad bands are noise anyway.
    seed : seed of ``numpy.random.default_rng``. Land, cube noise and target noise draw from streams
        of their own, so that a change of ``snr_db`` leaves the cube as it is.

    Raises
    ------
    ConfigError : a size below 8, or noise that is not a number or is negative.

    >>> s = scene(16, 20, 30)
    >>> s.cube.shape, s.target.shape, s.responses.shape
    ((30, 16, 20), (4, 16, 20), (4, 30))
    """
    _check(rows, cols, n_bands, snr_db, cube_noise)
    land, sensor, truth = np.random.default_rng(seed).spawn(3)
    bands = _bands(n_bands)
    valid = ~_corner(rows, cols)
    cube = _digitised(
        sensor, _reflectance(land, bands.wavelength_nm, rows, cols), bands, cube_noise
    )
    cube[:, ~valid] = NODATA
    weights = target_responses(bands)
    return SyntheticScene(
        cube=cube,
        bands=bands,
        nodata=NODATA,
        scale=SCALE,
        target=_target(truth, cube, weights, valid, np.inf if snr_db is None else snr_db),
        target_names=tuple(name for name, _, _ in TARGETS),
        target_wavelength_nm=np.array([centre for _, centre, _ in TARGETS]),
        target_fwhm_nm=np.array([width for _, _, width in TARGETS]),
        responses=weights,
        transform=TRANSFORM,
        epsg=EPSG,
    )


def _check(rows: int, cols: int, n_bands: int, snr_db: float | None, cube_noise: float) -> None:
    for name, size in (("rows", rows), ("cols", cols), ("n_bands", n_bands)):
        if size < SMALLEST:
            raise ConfigError(
                f"{name} of the synthetic scene", got=str(size), expected=f"{SMALLEST} or more"
            )
    if snr_db is not None and not snr_db > -np.inf:
        raise ConfigError(
            "snr_db of the synthetic scene", got=str(snr_db), expected="a ratio in dB, inf or None"
        )
    if not 0.0 <= cube_noise < np.inf:
        raise ConfigError(
            "cube_noise of the synthetic scene",
            got=str(cube_noise),
            expected="a reflectance, 0 or more",
        )


def _bands(n_bands: int) -> Bands:
    """The table of bands, 400 to 2450 nm, finer at both ends than in the middle; FWHM is 1.15 times
    the step."""
    t = np.linspace(0.0, 1.0, n_bands)
    nm = 400.0 + 2050.0 * (t - 0.015 * np.sin(2.0 * np.pi * t))
    vapour = np.zeros(n_bands, dtype=bool)
    for first, last in WATER_VAPOUR_NM:
        vapour |= (nm >= first) & (nm <= last)
    return Bands.of(
        [f"b{i:03d}" for i in range(1, n_bands + 1)],
        wavelength_nm=nm,
        fwhm_nm=1.15 * np.gradient(nm),
        reason=[BAD if v else "" for v in vapour],
    )


def target_responses(bands: Bands) -> Floats:
    """(T, B) weights of the cube's bands in each target band.

    A Gaussian of ``TARGETS``' centre and width, its long-wave flank a tenth wider than its
    short-wave flank (the full width stays), cut below a thousandth of its peak, zero for bad bands,
    divided by its sum."""
    weights = np.zeros((len(TARGETS), len(bands)))
    for row, (_, centre, fwhm) in zip(weights, TARGETS, strict=True):
        away = bands.wavelength_nm - centre
        half = 0.5 * fwhm * np.where(away < 0.0, 2.0 / 2.1, 2.2 / 2.1)
        log = np.where(bands.good, -np.log(2.0) * (away / half) ** 2, -np.inf)
        # Relative to the nearest band: few and wide bands may all lie far out on the flanks.
        row[:] = np.exp(log - log.max())
        row[row < 1e-3] = 0.0
        row /= row.sum()
    return weights


def _corner(rows: int, cols: int) -> Flags:
    """(H, W) True in the triangle that a rotated swath leaves empty."""
    y, x = np.mgrid[0:rows, 0:cols]
    return np.asarray(x / (0.16 * cols) + y / (0.55 * rows) < 1.0, dtype=bool)


def _digitised(
    rng: np.random.Generator, reflectance: Singles, bands: Bands, noise: float
) -> NDArray[np.int16]:
    """(B, H, W) digital numbers: reflectance with the sensor's noise; noise alone in bad bands.
    Changes its input."""
    nm = bands.wavelength_nm
    vapour = _bump(nm, 1390.0, 50.0) + 1.5 * _bump(nm, 1875.0, 70.0)
    ends = _bump(nm, 400.0, 40.0) + 2.5 * _bump(nm, 2500.0, 90.0)
    sigma = np.where(bands.good, noise * (1.0 + vapour + ends), 0.12)
    reflectance[~bands.good] = 0.04
    for band, s in zip(reflectance, sigma, strict=True):
        band += np.float32(s) * rng.standard_normal(band.shape, dtype=np.float32)
    reflectance *= np.float32(1.0 / SCALE)
    return np.clip(np.rint(reflectance, out=reflectance), -9999, 20000, out=reflectance).astype(
        np.int16
    )


def _target(
    rng: np.random.Generator, cube: NDArray[np.int16], weights: Floats, valid: Flags, snr_db: float
) -> Singles:
    """(T, H, W) the weighted sum of the stored cube, with noise; NaN outside the valid pixels."""
    target = np.full((len(weights), *valid.shape), np.nan)
    used = np.flatnonzero(weights.any(axis=0))
    clean = weights[:, used] @ (cube[used][:, valid] * SCALE)
    sigma = clean.std(axis=1, keepdims=True) * 10.0 ** (-snr_db / 20.0)
    target[:, valid] = clean + sigma * rng.standard_normal(clean.shape)
    return target.astype(np.float32)


# A material maps wavelengths (B,) and standard normal deviates, each (V, 1), to V variants of its
# spectrum (V, B).

Deviates = tuple[Floats, ...]
Material = Callable[[Floats, Deviates], Floats]
N_DEVIATES = 6


def _bump(nm: Floats, centre: float | Floats, sigma: float | Floats) -> Floats:
    """A Gaussian of height one."""
    return np.asarray(np.exp(-0.5 * ((nm - centre) / sigma) ** 2), dtype=np.float64)


def _edge(nm: Floats, centre: float | Floats, width: float | Floats) -> Floats:
    """A logistic step from zero to one."""
    return np.asarray(1.0 / (1.0 + np.exp(-(nm - centre) / width)), dtype=np.float64)


def _dips(nm: Floats, *features: tuple[float | Floats, float, float | Floats]) -> Floats:
    """The product of absorptions (centre, sigma, depth): ``Π (1 − depth · bump)``."""
    product = np.ones_like(nm)
    for centre, sigma, depth in features:
        product = product * (1.0 - depth * _bump(nm, centre, sigma))
    return product


def _leaf(nm: Floats, z: Deviates, plateau: float, vivid: float) -> Floats:
    """Green leaves: chlorophyll, red edge, plateau, and the dips of liquid water."""
    chlorophyll = vivid * (1.0 + 0.2 * z[0])
    green = (
        0.035
        + 0.075 * _bump(nm, 553.0 + 3.0 * z[1], 33.0) / chlorophyll
        + 0.015 * _bump(nm, 610.0, 30.0)
    )
    visible = green * _dips(
        nm, (440.0, 45.0, 0.25), (672.0, 17.0, np.clip(0.3 * chlorophyll, 0.0, 0.6))
    )
    top = (
        plateau
        * np.exp(0.15 * z[2])
        * (1.0 - 0.35 * _edge(nm, 1400.0, 70.0))
        * (1.0 - 0.4 * _edge(nm, 1900.0, 60.0))
    )
    wet = np.clip(1.0 + 0.2 * z[3], 0.4, 1.4)
    water = _dips(
        nm, (970.0, 26.0, 0.07 * wet), (1195.0, 42.0, 0.15 * wet), (1450.0, 52.0, 0.55 * wet)
    )
    far = _dips(nm, (1935.0, 65.0, 0.6 * wet), (2500.0, 160.0, 0.45 * wet))
    step = _edge(nm, 716.0 + 4.0 * chlorophyll + 3.0 * z[4], 11.0 + 1.2 * np.tanh(z[5]))
    return visible * (1.0 - step) + top * step * water * far


def _crop(nm: Floats, z: Deviates) -> Floats:
    return _leaf(nm, z, plateau=0.48, vivid=1.0)


def _forest(nm: Floats, z: Deviates) -> Floats:
    return 0.75 * _leaf(nm, z, plateau=0.36, vivid=1.7)


def _straw(nm: Floats, z: Deviates) -> Floats:
    """Dry vegetation: a slow rise, and the dips of cellulose and lignin."""
    rise = (
        0.09
        + 0.30 * np.exp(0.12 * z[0]) * _edge(nm, 690.0 + 25.0 * z[1], 110.0)
        - 0.05 * _edge(nm, 1700.0, 250.0)
    )
    dry = np.exp(0.25 * z[2])
    cellulose = _dips(
        nm, (1730.0, 22.0, 0.05 * dry), (2100.0, 48.0, 0.16 * dry), (2310.0, 40.0, 0.14 * dry)
    )
    return (
        rise
        * cellulose
        * _dips(nm, (1450.0, 50.0, 0.16 + 0.03 * z[3]), (1930.0, 50.0, 0.24 + 0.04 * z[4]))
    )


def _soil(nm: Floats, z: Deviates, bright: float, iron: float, clay: float) -> Floats:
    """Bare soil: an iron edge in the visible, iron at 870 nm, hydroxyl at 1400, water at 1900, clay
    at 2200 nm."""
    shape = (
        0.16
        + 0.34 * _edge(nm, 575.0 + 12.0 * z[0], 75.0)
        + 0.5 * _edge(nm, 1150.0, 330.0 + 40.0 * z[1])
    )
    rust = iron * np.exp(0.3 * z[2])
    wet = np.exp(-0.12 * np.tanh(z[3]) * (0.5 + nm / 2000.0))
    iron_dips = _dips(
        nm, (490.0, 38.0, 0.45 * rust), (670.0, 40.0, 0.12 * rust), (880.0, 75.0, 0.28 * rust)
    )
    clays = _dips(
        nm,
        (2206.0, 20.0, clay * np.exp(0.3 * z[4])),
        (2165.0, 16.0, 0.4 * clay),
        (2350.0, 30.0, 0.3 * clay),
    )
    return (
        bright
        * shape
        * wet
        * iron_dips
        * clays
        * _dips(nm, (1412.0, 25.0, 0.1), (1915.0, 35.0, 0.22 + 0.04 * z[5]))
    )


def _brown_soil(nm: Floats, z: Deviates) -> Floats:
    return _soil(nm, z, bright=0.33, iron=0.6, clay=0.10)


def _pale_soil(nm: Floats, z: Deviates) -> Floats:
    return _soil(nm, z, bright=0.58, iron=0.2, clay=0.22)


def _river(nm: Floats, z: Deviates) -> Floats:
    """Water: dark beyond the red, with some green and some mud."""
    mud = np.exp(0.5 * z[0])
    deep = 0.022 + 0.030 * _bump(nm, 530.0 + 12.0 * z[1], 65.0)
    red = 0.5 * _bump(nm, 705.0 + 3.0 * z[2], 22.0) + 0.35 * _bump(nm, 810.0, 22.0)
    turbid = 0.022 * mud * (_bump(nm, 585.0, 75.0) + red)
    return (deep + turbid) * (1.0 - 0.9 * _edge(nm, 735.0 + 6.0 * z[3], 22.0)) + 0.002 * np.exp(
        0.3 * z[4]
    )


def _asphalt(nm: Floats, z: Deviates) -> Floats:
    """Asphalt: dark and nearly flat, with weak hydrocarbon dips."""
    old = np.exp(0.25 * z[0])
    rise = (
        0.075 * old
        + 0.05 * _edge(nm, 620.0 + 40.0 * z[1], 140.0)
        + 0.04 * (1.0 + 0.3 * z[2]) * (nm / 2450.0)
    )
    return rise * _dips(
        nm,
        (1725.0, 25.0, 0.04),
        (2315.0, 32.0, 0.09 + 0.02 * z[3]),
        (870.0, 80.0, 0.03 + 0.01 * z[4]),
    )


def _tile(nm: Floats, z: Deviates) -> Floats:
    """Fired clay: red by a steep iron edge, hardly any water left."""
    fired = np.exp(0.2 * z[0])
    rise = (
        0.055
        + 0.20 * fired * _edge(nm, 588.0 + 6.0 * z[1], 21.0)
        + 0.13 * _edge(nm, 1050.0 + 60.0 * z[2], 170.0)
    )
    iron = _dips(nm, (670.0, 35.0, 0.08), (865.0, 70.0, 0.17 + 0.03 * z[3]))
    return rise * iron * _dips(nm, (1920.0, 40.0, 0.05), (2200.0, 25.0, 0.04))


MATERIALS: dict[str, Material] = {
    "crop": _crop,
    "forest": _forest,
    "straw": _straw,
    "brown soil": _brown_soil,
    "pale soil": _pale_soil,
    "water": _river,
    "asphalt": _asphalt,
    "roof tile": _tile,
}
"""Every material of the landscape by name; the order is that of the abundance maps."""


def library(
    wavelength_nm: Floats, n_variants: int = 1, *, seed: int = 0, spread: float = 1.0
) -> Floats:
    """(M, V, B) reflectance of V variants of every material in ``MATERIALS``.

    ``spread`` scales how far the variants lie from the typical spectrum; 0 gives the typical
    spectrum.

    >>> library(np.array([665.0, 842.0]), spread=0.0)[0, 0].round(2)
    array([0.03, 0.48])
    """
    rng = np.random.default_rng(seed)
    z = spread * np.clip(
        rng.standard_normal((len(MATERIALS), N_DEVIATES, n_variants, 1)), -2.5, 2.5
    )
    nm = np.asarray(wavelength_nm, dtype=np.float64)
    each = [
        np.broadcast_to(f(nm, tuple(d)), (n_variants, len(nm)))
        for f, d in zip(MATERIALS.values(), z, strict=True)
    ]
    return np.clip(np.stack(each), 0.001, 1.0)


def _fields(rng: np.random.Generator, n: int, rows: int, cols: int, steep: float) -> Singles:
    """(n, H, W) random fields of mean 0 and variance 1; amplitude falls as ``frequency^-steep``:
    more is smoother."""
    fy, fx = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None, :]
    # No wave longer than the scene counts more than one that just fits.
    low = 1.0 / max(rows, cols)
    gain = ((fy**2 + fx**2 + low**2) ** (-0.5 * steep)).astype(np.float32)
    gain[0, 0] = 0.0
    white = rng.standard_normal((n, rows, cols), dtype=np.float32)
    field = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(rows, cols))
    return np.asarray(field / field.std(axis=(1, 2), keepdims=True), dtype=np.float32)


def _softmax(logits: Singles) -> Singles:
    """Shares along the first axis: positive, with sum one. Changes its input."""
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits


def _parcels(
    rng: np.random.Generator, rows: int, cols: int, size: float, angle: float
) -> NDArray[np.intp]:
    """(H, W) numbers of parcels: strips across the scene at an angle, each cut at its own lengths
    (pixels)."""
    y, x = np.mgrid[0:rows, 0:cols].astype(np.float64)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    reach = float(rows + cols)
    count = int(2.0 * reach / size) + 2
    cuts = -reach + np.cumsum(size * rng.uniform(0.6, 1.4, count))
    strip = np.searchsorted(cuts, u)
    length, start = size * rng.uniform(0.9, 2.4, count + 1), size * rng.uniform(0.0, 2.0, count + 1)
    return np.asarray(
        strip * 4 * count + np.floor((v + reach + start[strip]) / length[strip]), dtype=np.intp
    )


def _assigned(
    rng: np.random.Generator, parcels: NDArray[np.intp], shares: dict[str, float]
) -> NDArray[np.intp]:
    """(H, W) material of each pixel: one per parcel, drawn with these shares."""
    names = list(MATERIALS)
    p = np.array([shares.get(name, 0.0) for name in names])
    return np.asarray(
        rng.choice(len(names), parcels.max() + 1, p=p / p.sum())[parcels], dtype=np.intp
    )


def _ribbon(distance: Floats, half_width: float | Floats) -> Singles:
    """Cover of a ribbon from the distance to its middle, in pixels: one inside, zero outside, mixed
    at the border."""
    return np.clip(half_width + 0.5 - np.abs(distance), 0.0, 1.0).astype(np.float32)


def _river_cover(rng: np.random.Generator, rows: int, cols: int) -> Singles:
    """(H, W) share of water: a river that winds from the upper edge to the lower one."""
    t = np.linspace(0.0, 1.0, rows)
    bends = sum(
        a * np.sin(2.0 * np.pi * (k * t + rng.uniform()))
        for k, a in ((0.8, 0.07), (1.7, 0.035), (3.3, 0.012))
    )
    middle = cols * (0.68 + 0.08 * (t - 0.5) + bends)
    slope = np.hypot(1.0, np.gradient(middle))
    half_width = max(1.0, 0.016 * cols) * (1.0 + 0.25 * np.sin(9.0 * t))
    away = (np.arange(cols)[None, :] - middle[:, None]) / slope[:, None]
    return _ribbon(away, half_width[:, None])


def _road_cover(rng: np.random.Generator, rows: int, cols: int) -> Singles:
    """(H, W) share of asphalt: one main road and one lane."""
    y, x = np.mgrid[0:rows, 0:cols].astype(np.float64)
    lift = rng.uniform(-0.03, 0.03)
    across = (
        y - rows * (0.60 + lift) + 0.22 * (x - 0.5 * cols) + 0.02 * rows * np.sin(3.0 * x / cols)
    )
    down = x - cols * (0.36 + lift) - 0.3 * (y - 0.5 * rows)
    return np.maximum(
        _ribbon(across / np.hypot(1.0, 0.22), 1.0), _ribbon(down / np.hypot(1.0, 0.3), 0.4)
    )


def _town(rng: np.random.Generator, rows: int, cols: int) -> Flags:
    """(H, W) True in a town with a ragged border, near the middle of the left half."""
    y, x = np.mgrid[0:rows, 0:cols].astype(np.float64)
    reach = ((x / cols - 0.33) / 0.15) ** 2 + ((y / rows - 0.66) / 0.16) ** 2
    return np.asarray(reach + 0.25 * _fields(rng, 1, rows, cols, 1.6)[0] < 1.0, dtype=bool)


def _abundances(
    rng: np.random.Generator, rows: int, cols: int, parcels: NDArray[np.intp]
) -> Singles:
    """(M, H, W) share of each material: softmax of smooth fields and of what the land is used for,
    then river, road."""
    names = list(MATERIALS)
    use = _assigned(
        rng, parcels, {"crop": 0.44, "straw": 0.2, "brown soil": 0.22, "pale soil": 0.14}
    )
    blocks = _parcels(rng, rows, cols, 4.0, 0.12)
    built = _assigned(
        rng, blocks, {"roof tile": 0.32, "asphalt": 0.34, "crop": 0.24, "pale soil": 0.1}
    )
    use = np.where(_fields(rng, 1, rows, cols, 2.2)[0] > 0.85, names.index("forest"), use)
    use = np.where(_town(rng, rows, cols), built, use)
    share = _softmax(
        _fields(rng, len(names), rows, cols, 1.5)
        + 5.0 * (np.arange(len(names))[:, None, None] == use)
    )
    for name, cover in (
        ("water", _river_cover(rng, rows, cols)),
        ("asphalt", _road_cover(rng, rows, cols)),
    ):
        share *= 1.0 - cover
        share[names.index(name)] += cover
    return share


def _log_gain(
    rng: np.random.Generator, nm: Floats, rows: int, cols: int
) -> tuple[Singles, Singles]:
    """Spectra (B, G) and maps (G, H·W) whose product is the logarithm of the light on each pixel.

    The first pair is the shading by hills: shadows are lit by the sky and so are less dark in the
    blue. The others are cosines over the wavelength, slope first, ever weaker: what no class model
    explains."""
    orders = np.arange(1, 11)
    t = (nm - 400.0) / 2050.0
    spectra = [
        1.0 - 0.5 * (400.0 / nm) ** 3,
        *(0.05 / m**0.8 * np.cos(np.pi * m * t) for m in orders),
    ]
    south, east = np.gradient(_fields(rng, 1, rows, cols, 2.6)[0])
    slope = (east - south) / max(1e-9, float((east - south).std()))
    ripple = 0.6 * _fields(rng, len(orders), rows, cols, 1.4) + 0.8 * _fields(
        rng, len(orders), rows, cols, 0.4
    )
    maps = np.concatenate([0.16 * np.tanh(slope)[None], ripple]).astype(np.float32)
    return np.stack(spectra, axis=1).astype(np.float32), maps.reshape(len(maps), -1)


def _reflectance(
    rng: np.random.Generator, nm: Floats, rows: int, cols: int, n_variants: int = 8
) -> Singles:
    """(B, H, W) reflectance: ``Σ_material abundance · Σ_variant share · spectrum``, times the light
    on the pixel."""
    spectra = library(nm, n_variants, seed=int(rng.integers(2**31))).astype(np.float32)
    parcels = _parcels(rng, rows, cols, max(6.0, 0.10 * max(rows, cols)), 0.42)
    # What grows in a parcel is much the same all over it, and differs from what grows next door.
    habit = 1.8 * rng.standard_normal((n_variants, parcels.max() + 1), dtype=np.float32)[:, parcels]
    cube = np.zeros((len(nm), rows * cols), dtype=np.float32)
    for variants, abundance in zip(spectra, _abundances(rng, rows, cols, parcels), strict=True):
        share = _softmax(1.2 * _fields(rng, n_variants, rows, cols, 1.1) + habit) * abundance
        cube += variants.T @ share.reshape(n_variants, -1)
    modes, maps = _log_gain(rng, nm, rows, cols)
    gain = modes @ maps
    cube *= np.exp(gain, out=gain)
    return cube.reshape(len(nm), rows, cols)
