"""Wrong commands: what people type by mistake, and the one line that puts them right.

``WRONG`` is the list: a command and a pattern in its answer. Every command ends with exit code 2
and leaves the folder as it was.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from rasterio import Affine
from rasters import (
    LAYOUTS,
    NORTH_UP,
    blend,
    cli,
    listing,
    ok,
    spectra,
    truncated,
    wavelengths,
    write_tiff,
)

LONGEST = 400
"""Characters of an answer, without the folder's own name."""

INNER = re.compile(r"deserializ|pydantic|NoneType|Errno|0x[0-9a-f]|unexpected|click|\.\.$")
"""Words of libraries and of Python that no user needs."""

TRAIN = """
train
    no output is given; expected -o RUN
train cube.tif
    no output is given
train -o new
    no scene is given; expected SCENE files
train cube.tif target.tif -o new
    'target' has another number of bands than scene 'cube'; got 1 band .*--target \\S*target.tif
train cube.tif five.tif -o new
    got 5 bands .*expected 4 bands.*pools have the same bands\\.$
train cube.tif -t target.tif -o new
    no flag -t. It could be --target, --threads
train cube.tif --taret target.tif -o new
    Did you mean '--target'\\?
train cubes.tif --target target.tif -o new
    cubes.tif does not exist.*Did you mean 'cube.tif'
train cube.tif --target targte.tif -o new
    Did you mean 'target.tif'
train cube.tif --target other_size.tif -o new
    got 21 × 25 pixels; expected 20 × 25 pixels
train cube.tif --target elsewhere.tif -o new
    elsewhere.tif lies elsewhere than .*550000 to 550750
train cube.tif --group 450-520nm -o new
    Groups without names are given with --groups 450-520nm
train cube.tif --group blue 450-520nm -o new
    --group cannot be read; got 'blue'; expected NAME=SPEC, such as blue=450-520nm
train cube.tif --groups 6 -o new
    equal:6 for 6 groups.*6-6 for one group of band 6
train cube.tif --groups 450-520 -o new
    outside the cube.*Wavelengths have their unit: 450-520nm
train cube.tif --groups 3000-3100nm -o new
    holds no band.*400.3 to 1000.3 nm
train cube.tif --groups equal -o new
    group 'equal' cannot be read.*equal:…
train cube.tif --groups equal:9 -o new
    a whole number from 1 to 4
train cube.tif --groups sensor:sentinel2 -o new
    Did you mean 'sentinel-2a', 'sentinel-2b' or 'sentinel-2c'
train cube.tif --group a=450-700nm --group a=700-900nm -o new
    two groups are named 'a'
train cube.tif --group a=1-2 --groups equal:2 -o new
    --group and --groups exclude each other
train nowave.tif --groups 450-520nm -o new
    needs wavelengths.*Name bands by number, 1-4
train cube.tif --target target.tif --objective regresion -o new
    expected one of regression, reconstruction, separability, snr
train cube.tif --objective regression -o new
    regression needs a target. Give --target
train cube.tif --objective separability -o new
    separability needs labels. Give --labels
train cube.tif --labels target.tif -o new
    a class that is not a whole number
train cube.tif --labels one_class.tif -o new
    too few classes; got 1 class: 1
train cube.tif --target target.tif --constraint positive -o new
    Did you mean 'nonnegative'
train cube.tif --target target.tif --constraint nonegative -o new
    Did you mean 'nonnegative'
train cube.tif --target target.tif --set constraint=simple -o new
    constraint in --set; got 'simple'.*Did you mean 'simplex'
train cube.tif --target target.tif --device gpu -o new
    Did you mean 'cuda'
train cube.tif --target target.tif --optimizer sdg -o new
    Did you mean 'sgd'
train cube.tif --target target.tif --steps many -o new
    --steps; got 'many'; expected a whole number
train cube.tif --target target.tif --memory 4GB -o new
    got '4GB'; expected a whole number. Give the number alone
train cube.tif --target target.tif --lr -1 -o new
    --lr; got -1.0; expected greater than 0
train cube.tif --target target.tif --ridge big -o new
    a valid number or 'auto'
train cube.tif --target target.tif --folds 1 -o new
    --folds; got 1; expected 0, or 2 and more
train cube.tif --target target.tif --no-offsets -o new
    Did you mean '--no-offset'
train cube.tif --target target.tif --gain --constraint free -o new
    --gain does not apply with constraint free
train cube.tif --target target.tif --sensor sentinel2 -o new
    Did you mean 'sentinel-2a', 'sentinel-2b' or 'sentinel-2c'
train cube.tif --target target.tif --sensor landsat -o new
    'landsat-5-tm', 'landsat-7-etm', 'landsat-8-oli' or 'landsat-9-oli-2'
train cube.tif --target target.tif --bounds 13.0 52.0 13.1 52.1 -o new
    a part of 400000 to 400750, 5799400 to 5800000 \\(EPSG:32633\\). These bounds look like degrees
train cube.tif --target target.tif --bounds 13.0 52.0 -o new
    4 numbers, MINX MINY MAXX MAXY
train cube.tif --target target.tif --window 0 0 900 900 -o new
    at most 20 rows and 25 columns
train cube.tif --target target.tif --config batch.yaml -o new
    This looks like a batch file: bandfuse batch batch.yaml
train cube.tif --target target.tif --config missing.yaml -o new
    missing.yaml cannot be read
train cube.tif --target target.tif --config train.yaml --set stesp=5 -o new
    Did you mean 'steps'
train cube.tif --target target.tif --set steps -o new
    expected key=value
train cube.tif --target target.tif -o note.txt
    was not made by bandfuse, and is not replaced(?!.*--overwrite)
train cube.tif --target target.tif -o photos
    not replaced(?!.*--overwrite).*such as photos.run
train cube.tif --target target.tif -o run
    run exists. .*--overwrite
train cube.tif --target target.tif -o missing/run
    folder missing does not exist. Create it
train cube.tif --target target.tif -o -
    '-' cannot be an output.*nothing is written to standard output
train empty.tif --target target.tif -o new
    empty.tif is empty; got 0 bytes
train text.tif --target target.tif -o new
    text.tif cannot be opened as a raster
train half.tif --target target.tif -o new
    damaged or truncated
train void.tif --target target.tif -o new
    no valid pixel
train --source cube.tif --target target.tif -o new
    NAME=PATH, such as nir=nir.tif
train cube.tif --nodata none,none --target target.tif -o new
    got 2 values; expected one for all bands, or 4
train cube.tif --target target.tif --out new
    Did you mean '--output'
train cube.tif --target target.tif --epochs 5 -o new
    Did you mean '--steps'
train cube.tif --target target.tif --loss l1 -o new
    Did you mean 'mae'
train cube.tif --groups 1:4 -o new
    Did you mean 1-4\\?
train cube.tif --groups 450..520nm -o new
    Did you mean 450-520nm\\?
train cube.tif --groups 0.45-0.52 -o new
    Wavelengths have their unit: 0.45-0.52um
train cube.tif --groups red -o new
    red is 600-700nm; regions makes
train cube.tif --groups sentinel-2a -o new
    Did you mean sensor:sentinel-2a
train cube.tif --target target.tif --window 0,0,5,5 -o new
    --window is given without all of its 4 values; expected 4 values with spaces
train cube.tif --target target.tif --wavelengths five.tif -o new
    five.tif has no column of wavelengths; got something other than text
train cube.tif --target target.tif --scale-inputs 0 -o new
    expected greater than or equal to 1e-30
train cube.tif --target target.tif -o .
    would replace .*, which is read
train cube.tif --target target.tif -v -q -o new
    -v says more and -q says less
"""

OTHERS = """
trian cube.tif
    no command 'trian'. Did you mean 'train'
fit cube.tif
    Did you mean 'train'
predict w.safetensors cube.tif
    Did you mean 'apply'
cube.tif
    Name a command before the file: bandfuse info cube.tif
--verbose train cube.tif
    no output is given; expected -o RUN
apply
    WEIGHTS is not given; .*For example: bandfuse apply
apply run/weights.safetensors -o out.tif
    no scene is given
apply run/weights.safetensors cube.tif
    no output is given; expected -o OUT
apply cube.tif run/weights.safetensors -o out.tif
    run/weights.safetensors is one. Name the weights first, and then cube.tif
apply cube.tif target.tif -o out.tif
    cube.tif is not a weights file; got another kind of file; expected the weights.safetensors
apply garbage.safetensors cube.tif -o out.tif
    garbage.safetensors is not a weights file; got another kind of file
apply empty.safetensors cube.tif -o out.tif
    got an empty file
apply weights.safetensors cube.tif -o out.tif
    weights.safetensors does not exist
apply run/weights.safetensors five.tif -o out.tif
    got 5 bands in five.tif; expected 4 bands. Use --resample
apply run/weights.safetensors shifted.tif -o out.tif
    at other wavelengths than the weights.*Use --resample
apply run/weights.safetensors dn.tif -o out.tif
    other units.*10 000 times.*--scale-inputs 0.0001
apply dn/weights.safetensors cube.tif -o out.tif
    other units.*1/10 000 of.*--scale-inputs 10000
apply dn/weights.safetensors cube.tif --resample -o out.tif
    other units
apply run/weights.safetensors cube.tif -o out.jpg
    JPEG holds no float32.*--dtype uint8(?!.*disk)
apply run/weights.safetensors cube.tif -o out.png
    PNG holds no float32
apply run/weights.safetensors cube.tif -o out.xyz
    XYZ cannot hold its place.*another driver, such as GTiff
apply run/weights.safetensors cube.tif -o out.foo
    no driver is known for out.foo
apply run/weights.safetensors cube.tif -o out
    out has no ending that names a format; expected a name such as out.tif
apply run/weights.safetensors cube.tif -o -
    nothing is written to standard output
apply run/weights.safetensors cube.tif -o cube.tif --overwrite
    cube.tif is an input
apply run/weights.safetensors cube.tif -o target.tif
    target.tif exists. .*--overwrite
apply run/weights.safetensors cube.tif nowave.tif -o out.tif
    2 scenes need as many outputs.*a folder, its name with a slash at the end, or a template
apply run/weights.safetensors cube.tif -o out.tif --dtype uint8
    --dtype uint8 needs a declared scale
apply run/weights.safetensors cube.tif -o out.tif --dtype byte
    Did you mean 'uint8'
apply run/weights.safetensors cube.tif -o out.tif --driver GeoTIFF
    Did you mean 'GTiff'
apply run/weights.safetensors cube.tif -o out.tif --co COMPRESS
    KEY=VALUE, such as COMPRESS=ZSTD
apply run/weights.safetensors cube.tif -o out.tif --co COMPRES=LZW
    Did you mean 'COMPRESS'
apply run/weights.safetensors cube.tif -o out.tif --co COMPRESS=ZIP
    got 'ZIP'; expected one of .*DEFLATE
apply run/weights.safetensors cube.tif -o out.tif --inverse
    Train with --objective reconstruction
apply run/weights.safetensors cube.tif -o out.tif --device gpu
    Did you mean 'cuda'
apply run/weights.safetensors cube.tif -o out.tif --min-coverage 0.5
    does not apply without --resample
apply run/weights.safetensors cube.tif -o out.tif --scale 2
    does not apply with --dtype float32
apply --weights run/weights.safetensors cube.tif -o out.tif
    WEIGHTS stands without a flag. For example: bandfuse apply
apply run/weights.safetensors --scene cube.tif -o out.tif
    SCENE stands without a flag
apply run/weights.safetensors cube.tif -o out.vrt
    a VRT holds no pixels of its own.*bandfuse export WEIGHTS --to vrt
apply run/weights.safetensors cube.tif -o out.dat
    the ending .dat is that of several formats; expected --driver, such as --driver ENVI
apply run/weights.safetensors nowave.tif --resample -o out.tif
    moving weights to a cube needs wavelengths
evaluate run/weights.safetensors cube.tif target.tif
    Is it target.tif\\? Then give it with --target target.tif
evaluate run/weights.safetensors cube.tif
    evaluate needs a target
evaluate cube.tif run/weights.safetensors --target target.tif
    Name the weights first
evaluate run/weights.safetensors cube.tif --target five.tif
    outputs and target bands cannot be paired
evaluate run/weights.safetensors five.tif --target target.tif
    bandfuse apply --resample
export run/weights.safetensors
    no --to is given; expected vrt
export run/weights.safetensors --to vrt -o out.vrt
    --to vrt needs a scene
export run/weights.safetensors --to vrt --scene five.tif -o out.vrt
    bandfuse apply --resample
export cube.tif --to vrt --scene run/weights.safetensors -o out.vrt
    Name the weights first
export run/weights.safetensors --to onx -o out.onnx
    Did you mean 'onnx'
export run/weights.safetensors --to excel -o out.xlsx
    Did you mean 'csv'
export run/weights.safetensors --format vrt -o out.vrt
    Did you mean '--to'
export run/weights.safetensors --to csv
    no output is given; expected -o FILE
report
    RUN is not given; expected folder of a run. For example: bandfuse report run
report runs -o page.html
    runs does not exist; .*Did you mean 'run'
report cube.tif -o page.html
    cube.tif is a file; expected the folder of a run
report photos -o page.html
    photos is not a run; got no report.json in it
report run/weights.safetensors -o page.html
    Give the folder it is in: run
compare run
    got 1 run; expected two runs or more
compare run photos
    photos is not a run
batch
    CONFIG is not given
batch train.yaml
    This looks like a train config: bandfuse train --config train.yaml
batch cube.tif
    not UTF-8 text; expected a YAML file
batch typo.yaml
    line 6: jobs.0.kind; got 'trian'
batch nomatch.yaml
    no scene is found; got glob: xx\\*.tif
batch batch.yaml --workers 0
    --workers; got 0; expected 1 or more
batch batch.yaml --dask --scheduler tcp://nowhere:8786
    --scheduler excludes --workers and --dask
info
    no scene is given
info missing.tif
    missing.tif does not exist
info empty.tif
    empty.tif is empty
info --format
    Did you mean '--formats'
check
    SCENE is not given
check cube.tif target.tif five.tif
    check takes no further argument; got five.tif too many
check cube.tif --fix out.tif
    a name that ends in .vrt
check cube.tif --scale 0.5
    does not apply without --fix
resample cube.tif -o out.tif
    no sensor is given
resample cube.tif --sensor sentinel2 -o out.tif
    Did you mean 'sentinel-2a', 'sentinel-2b' or 'sentinel-2c'
resample cube.tif --sensor sentinel-2a -o out.safetensors
    --weights-only beside it
resample nowave.tif --sensor sentinel-2a -o out.tif
    needs wavelengths
resample cube.tif --sensor note.txt -o out.tif
    ends in .csv
demo cube.tif
    cube.tif was not made by bandfuse
demo missing/demo
    folder missing does not exist
schema batch.yaml
    schema takes no further argument
"""


def pairs(text: str) -> list[tuple[str, str]]:
    """Commands, each with the pattern in the line below it."""
    lines = text.strip().splitlines()
    return [(c, p.strip()) for c, p in zip(lines[::2], lines[1::2], strict=True)]


WRONG = [*pairs(TRAIN), *pairs(OTHERS)]


def train_quickly(*arguments: str) -> None:
    ok("train", *arguments, "--no-report", "--no-fused", "--folds", "0", "--constraint", "free")


def fill(folder: Path) -> None:
    """Good files, and bad ones."""
    cube, nm = spectra(4, 20, 25), wavelengths(4)
    write_tiff(folder / "cube.tif", cube, nm=nm)
    write_tiff(folder / "nowave.tif", cube)
    write_tiff(folder / "target.tif", blend(cube, [[0.5, 0.5, 0, 0]]).astype("float32"))
    write_tiff(folder / "other_size.tif", spectra(1, 21, 25), crs=None, transform=None)
    far = NORTH_UP @ Affine.translation(5000, 0)
    write_tiff(folder / "elsewhere.tif", spectra(1, 20, 25), transform=far)
    write_tiff(folder / "five.tif", spectra(5, 20, 25), nm=wavelengths(5))
    write_tiff(folder / "shifted.tif", cube, nm=[v + 150 for v in nm])
    write_tiff(folder / "dn.tif", np.round(cube * 10_000).astype("uint16"), nm=nm)
    write_tiff(folder / "void.tif", np.full((4, 20, 25), -9, "int16"), nodata=-9)
    write_tiff(folder / "one_class.tif", np.ones((1, 20, 25), "uint8"))
    truncated(write_tiff(folder / "half.tif", spectra(4, 300, 300), **LAYOUTS["tiled-band"]))
    for name in ("empty.tif", "empty.safetensors"):
        (folder / name).write_bytes(b"")
    (folder / "garbage.safetensors").write_bytes(bytes(range(256)) * 4)
    (folder / "text.tif").write_text("this is no raster")
    (folder / "note.txt").write_text("a note\n")
    (folder / "photos").mkdir()
    (folder / "photos/a.jpg").write_text("a picture")
    (folder / "train.yaml").write_text("objective: regression\nconstraint: free\n")
    for name, start, kind in (
        ("batch", "cu", "train"),
        ("typo", "cu", "trian"),
        ("nomatch", "xx", "train"),
    ):
        (folder / f"{name}.yaml").write_text(
            f"version: 1\noutput: out/\nscenes:\n  - glob: {start}*.tif\n"
            f"jobs:\n  - {{name: a, kind: {kind}}}\n"
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no wrong command changes."""
    made = tmp_path_factory.mktemp("wrong")
    fill(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        train_quickly("cube.tif", "--target", "target.tif", "-o", "run")
        train_quickly("dn.tif", "--target", "target.tif", "-o", "dn")
    ok("report", made / "run", "-o", made / "page_of_run.html")
    return made


def answer_of(err: str, folder: Path) -> str:
    """The one line on stderr, with paths as the user typed them."""
    assert "Traceback" not in err
    (line,) = err.splitlines()
    return line.replace(f"{folder}/", "")


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 80
    assert len({command for command, _ in WRONG}) == len(WRONG)


@pytest.mark.parametrize(("command", "pattern"), WRONG, ids=[command for command, _ in WRONG])
def test_a_wrong_command_is_put_right_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, pattern: str
) -> None:
    monkeypatch.chdir(folder)
    before = listing(folder)
    done = cli(*shlex.split(command))
    assert (done.code, done.out) == (2, ""), done
    assert listing(folder) == before
    answer = answer_of(done.err, folder)
    assert answer.startswith("error: ")
    assert re.search(pattern, answer), answer
    assert not INNER.search(answer)
    assert len(answer) <= LONGEST
