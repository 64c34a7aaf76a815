"""Export: weights in the form of another program, written whole, and proved where GDAL reads it
back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name

import numpy as np

from bandfuse.applying.outputs import output_folder
from bandfuse.config.commands import ExportConfig
from bandfuse.errors import ConfigError, InputError, MismatchError, RunError
from bandfuse.export import FORMS, expression, qml, tables, vrt
from bandfuse.export.linear import LinearForm, require_strict
from bandfuse.files.guards import check_file
from bandfuse.files.making import making
from bandfuse.files.styles import ENDING as STYLE
from bandfuse.files.styles import style_name
from bandfuse.files.whole import lent, whole_files
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.model.weightsfile import WEIGHTS, load, weights_file
from bandfuse.raster import Raster, Reader, array_bands, band_tags, describe, quicklook
from bandfuse.results.runs import ExportResult
from bandfuse.scenes.matching import APPLY, check_inputs
from bandfuse.scenes.places import MAIN
from bandfuse.scenes.scene import Scene
from bandfuse.scenes.value_ranges import require_inputs
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.stream import whole
from bandfuse.streaming.windows import Window

SIDE = 64
"""Rows and columns of the windows in which a virtual raster is compared with the fusion itself."""

FEW = 128
"""Rows and columns of the pixels that a virtual raster's style rests on."""

TOLERANCE = 1e-5
"""How far, relative to the largest value, they may differ: GDAL's virtual bands are float32."""

Written = dict[str, str | bytes]
"""Contents by the ending of the file."""

PLACED = [form.name for form in FORMS.values() if form.placed]


def export_weights(weights: str | Path, config: ExportConfig) -> ExportResult:
    """Write weights in another form.

    Raises
    ------
    ConfigError, InputError, MismatchError : nothing is written. RunError : GDAL reads a virtual
        raster otherwise, and it is not written."""
    if not config.output:
        raise ConfigError("no output is given", expected="-o FILE")
    folder = output_folder(config.output)
    with making(folder):
        weights = weights_file(weights)
        path = Path(config.output) if folder is None else folder / _name(weights, config)
        return _export(weights, config, path)


def _name(weights: Path, config: ExportConfig) -> str:
    """The name of the file in a folder: that of the scene, else that of the run or its weights."""
    run = weights.resolve().parent.name if weights.name == WEIGHTS else weights.stem
    stem = run if config.scene is None else Path(config.scene).stem
    return f"{stem}{FORMS[config.to].ending}"


def _export(weights: Path, config: ExportConfig, path: Path) -> ExportResult:
    """The same, to a file in a folder that is there."""
    model = load(weights, [] if config.scene is None else [config.scene])
    if config.scene and not FORMS[config.to].placed and not model.per_scene:
        raise ConfigError(
            f"--scene does not apply with --to {config.to} of weights that all scenes share",
            got=f"--scene {config.scene}",
            expected=f"--to {', '.join(sorted(PLACED))}; or weights per scene",
            remedy="Leave --scene out.",
        )
    scene = None if config.scene is None else describe(config.scene, MAIN)
    pan = None if config.pan is None else describe(config.pan)
    names = [""] if scene is None else Scene(Path(scene.path).stem, (scene,)).names
    fusion = model.fusion(names, use_common=config.use_common)
    inputs = [
        Path(weights),
        *(Path(p) for r in (scene, pan) if r is not None for p in (r.path, *r.files)),
    ]
    seen = check_file(path, overwrite=config.overwrite, inputs=inputs)
    if config.style:
        style_name(path)
    text = _content(fusion, config, scene, pan, path)
    shown = None if scene is None or not config.style else _shown(fusion, scene, config.to)
    if shown is not None:
        for made in qml.beside(path, *shown).values():
            text[STYLE] = made
    with whole_files(path, inputs, seen=seen) as scratch:
        for ending, content in text.items():
            file = scratch if not ending else scratch.with_suffix(ending)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        difference = None if scene is None else _proved(scratch, path, fusion, scene, config.to)
    return ExportResult(
        output=str(path),
        form=config.to,
        outputs=list(fusion.outputs.name),
        difference=difference,
        messages=[] if shown is None else qml.unstyled([(path.name, shown[0])]),
    )


def _shown(fusion: Fusion, scene: Raster, form: str) -> tuple[Bands, qml.Look]:
    """The bands of a virtual raster, and a few pixels of them as GDAL reads them. Those of a
    pansharpened one are about those of the cube, as they are stored."""
    if form == "pansharpen":
        sharpened = _sharpened(fusion, scene)
        matrix = LinearForm.of(fusion, scene.scale, scene.offset).matrix
        shown = vrt.sharpened(sharpened, matrix[0])
        scale, offset = scene.scale[shown], scene.offset[shown]

        def cube(positions: Sequence[int]) -> Floats:
            some = [shown[i] for i in positions]
            physical = quicklook(scene, some, FEW)
            stored: Floats = (physical - offset[list(positions)]) / scale[list(positions)]
            return stored

        return sharpened.take(shown), cube

    def fused(positions: Sequence[int]) -> Floats:
        pixels = quicklook(scene, fusion.support, FEW)
        values = FusionKernel(fusion)(pixels.reshape(-1, len(fusion.support)).T)
        few: Floats = values[list(positions)].T
        return few

    return fusion.outputs, fused


def _sharpened(fusion: Fusion, scene: Raster) -> Bands:
    """The bands of a cube that is pansharpened: what training found dead would make all pixels
    missing."""
    return scene.bands.dropping(dict(enumerate(fusion.inputs.reason)))


def _content(
    fusion: Fusion, config: ExportConfig, scene: Raster | None, pan: Raster | None, path: Path
) -> Written:
    if FORMS[config.to].computed:
        require_strict(fusion)
    if FORMS[config.to].make:
        return {"": resolve_name(FORMS[config.to].make)(fusion)}
    if config.to == "sli":
        header, data = tables.as_sli(fusion)
        if path.suffix == ".hdr":
            raise ConfigError(
                "--output is the library's data file",
                got=path.name,
                expected="a name such as lib.sli",
            )
        return {"": data, ".hdr": header}
    if config.to == "bandmathx" and scene is None:
        return {"": expression.bandmathx(LinearForm.of(fusion))}
    if scene is None:
        raise ConfigError(f"--to {config.to} needs a scene", remedy="Give it with --scene.")
    whole = Scene(Path(scene.path).stem, (scene,))
    check_inputs(whole, fusion.inputs, remedy=APPLY)
    require_inputs(whole, fusion, fusion.support, config)
    linear = LinearForm.of(fusion, scene.scale, scene.offset)
    if config.to == "bandmathx":
        return {"": expression.bandmathx(linear)}
    if config.to == "pansharpen":
        if pan is None:
            raise ConfigError(
                "--to pansharpen needs the panchromatic image", remedy="Give it with --pan."
            )
        bands = _sharpened(fusion, scene)
        cubes = _cube(scene), _cube(pan)
        linear = linear.stored_as(float(pan.scale[0]), float(pan.offset[0]))
        return {"": vrt.pansharpened(*cubes, linear, bands, band_tags(bands), path)}
    form = vrt.processed if config.form == "processed" else vrt.derived
    return {"": form(_cube(scene), linear, fusion.outputs, band_tags(fusion.outputs), path)}


def _cube(raster: Raster) -> vrt.Cube:
    """What a VRT must know.

    Raises
    ------
    MismatchError : a product that is not one raster of GDAL's.
    """
    texts, masks, control = array_bands(raster), raster.masks, raster.control
    path = raster.path if texts else _one_raster(raster)
    if masks.alpha and not masks.dataset and len(raster.bands) not in (2, 4):
        raise MismatchError(
            f"{raster.path} has an alpha band that GDAL makes no mask of",
            got=f"{len(raster.bands)} bands",
            expected="1 or 3 bands beside the alpha band",
            remedy="Use bandfuse apply.",
        )
    # Whole numbers that float64 cannot hold are seen by GDAL's mask alone.
    masked = raster.masked or any(v is not None for v in raster.exact)
    wkt = "" if raster.crs is None else str(raster.crs.to_wkt())
    points = [(p.col, p.row, p.x, p.y, p.z or 0.0) for p in control.points]
    points_wkt = "" if control.crs is None else str(control.crs.to_wkt())
    rpcs = {} if control.rpcs is None else control.rpcs.to_gdal()
    return vrt.Cube(
        path,
        raster.rows,
        raster.cols,
        wkt,
        tuple(raster.transform)[:6],
        raster.dtypes,
        raster.nodata,
        masked,
        points,
        points_wkt,
        rpcs,
        raster.scale.tolist(),
        raster.offset.tolist(),
        texts,
    )


def _one_raster(raster: Raster) -> str:
    """What GDAL opens for all bands of a scene: the file itself, or the one image of a product."""
    if not raster.pieces:
        return raster.path
    image = raster.pieces[0]
    plain = not (image.axes or image.flaws or image.name.startswith("<")) and raster.glt is None
    if plain and image.bands == tuple(range(1, len(raster.bands) + 1)):
        return image.name
    raise MismatchError(
        f"{raster.path} is not a single raster that a VRT could read",
        got=raster.product or f"{raster.driver} with bands along another axis than the first",
        remedy="Use bandfuse apply; or export to csv, onnx and others, which need no scene.",
    )


def _proved(scratch: Path, path: Path, fusion: Fusion, scene: Raster, form: str) -> float | None:
    """The largest difference between a virtual raster and the fusion itself, relative to the
    largest value, in the first, middle and last window. Pansharpening is read in its middle window
    alone, as it has another grid.

    It is read in the folder where it will be, as it tells of its sources by their places relative
    to that.

    Raises
    ------
    RunError : they differ, or GDAL cannot read it.
    """
    if not FORMS[form].virtual:
        return None
    ours = [FusionKernel(fusion)(_values(scene, fusion.support, w)) for w in _looks(scene.shape)]
    with lent(scratch, path.parent) as trial:
        try:
            made = describe(trial)
            windows = _looks(made.shape)[1:2] if form == "pansharpen" else _looks(scene.shape)
            theirs = [_values(made, range(len(made.bands)), w) for w in windows]
        except InputError as error:
            raise RunError(
                f"GDAL cannot read {path.name}, and it was not written", got=error.got
            ) from error
    if form == "pansharpen":
        return None
    difference = max(map(_difference, ours, theirs))
    if not difference <= TOLERANCE:
        raise RunError(
            f"GDAL does not read {path.name} as bandfuse fuses it, and it was not written",
            got=f"a relative difference of {difference:.2g}",
            remedy="Try the other --form, or use bandfuse apply.",
        )
    return difference


def _looks(shape: tuple[int, int]) -> list[Window]:
    rows, cols = min(SIDE, shape[0]), min(SIDE, shape[1])
    return [
        Window((shape[0] - rows) * i // 2, (shape[1] - cols) * i // 2, rows, cols) for i in range(3)
    ]


def _values(raster: Raster, bands: Sequence[int], window: Window) -> Floats:
    """A window of some bands.

    Raises
    ------
    InputError : it cannot be read.
    """
    with Reader([(raster, bands)]) as reader:
        return whole(reader, window).reshape(len(bands), -1)


def _difference(ours: Floats, theirs: Floats) -> float:
    """Relative to the largest value; infinite where one has values and the other has none."""
    there = np.isfinite(ours)
    if not (np.isfinite(theirs) == there).all():
        return float("inf")
    size = float(np.abs(ours[there]).max(initial=0.0)) or 1.0
    return float(np.abs(ours[there] - theirs[there]).max(initial=0.0)) / size
