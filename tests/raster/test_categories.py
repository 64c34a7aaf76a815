"""Names of classes: from category names and attribute tables, of GeoTIFF and ENVI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasters import write_tiff

from bandfuse.raster.categories import category_names
from bandfuse.raster.describe import describe
from bandfuse.raster.labels import describe_labels

NUMBERS = (np.arange(12, dtype=np.uint8).reshape(1, 3, 4) % 3) + 1

NAMED = """<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category></Category>
<Category>oak &amp; ash</Category><Category>&lt;b&gt;</Category></CategoryNames></PAMRasterBand>
</PAMDataset>"""

TABLE = """<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable tableType="thematic">
<FieldDefn index="0"><Name>Count</Name><Type>0</Type><Usage>1</Usage></FieldDefn>
<FieldDefn index="1"><Name>Code</Name><Type>0</Type><Usage>{value}</Usage></FieldDefn>
<FieldDefn index="2"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
<Row index="0"><F>4</F><F>3</F><F>ash</F></Row><Row index="1"><F>8</F><F>1</F><F>oak</F></Row>
</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"""


def _labels(folder: Path, pam: str) -> str:
    path = write_tiff(folder / "labels.tif", NUMBERS)
    (folder / "labels.tif.aux.xml").write_text(pam, encoding="utf-8")
    return path


def test_category_names_are_counted_from_zero(tmp_path: Path) -> None:
    assert category_names(_labels(tmp_path, NAMED)) == {1: "oak & ash", 2: "<b>"}


@pytest.mark.parametrize("value", ["5", "3"])
def test_an_attribute_table_names_its_values(tmp_path: Path, value: str) -> None:
    assert category_names(_labels(tmp_path, TABLE.format(value=value))) == {3: "ash", 1: "oak"}


def test_without_a_column_of_values_there_are_no_names(tmp_path: Path) -> None:
    assert category_names(_labels(tmp_path, TABLE.format(value="0"))) == {}


def test_envi_headers_name_classes(tmp_path: Path) -> None:
    (tmp_path / "map.bsq").write_bytes(NUMBERS.tobytes())
    lines = ["ENVI", "samples = 4", "lines = 3", "bands = 1", "data type = 1", "byte order = 0"]
    lines += ["interleave = bsq", "header offset = 0", "file type = ENVI Classification"]
    lines += ["classes = 4", "class names = {none, oak, ash, water}"]
    (tmp_path / "map.hdr").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = category_names(str(tmp_path / "map.bsq"))
    assert names == {0: "none", 1: "oak", 2: "ash", 3: "water"}


def test_labels_take_the_names_and_numbers_where_there_are_none(tmp_path: Path) -> None:
    path = _labels(tmp_path, NAMED)
    raster = describe(path, "labels")
    labels = describe_labels(path, raster, raster)
    assert [labels.name(n) for n in (1, 2, 3)] == ["oak & ash", "<b>", "3"]


def test_a_file_without_names_or_that_cannot_be_opened_has_none(tmp_path: Path) -> None:
    assert category_names(write_tiff(tmp_path / "plain.tif", NUMBERS)) == {}
    assert category_names(str(tmp_path / "missing.tif")) == {}
