"""What QGIS sees in rasters: run by the Python that has PyQGIS, which is rarely that of the tests.

``python qgis_look.py PICTURES RASTER...`` prints one JSON list, and draws each raster as QGIS does
by default into PICTURES.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from qgis.core import QgsApplication, QgsMapRendererSequentialJob, QgsMapSettings, QgsRasterLayer
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

ZOOM = 4
"""Pixels of a picture's side for each of the raster."""


def seen(path: str, pictures: Path) -> dict[str, Any]:
    """What QGIS says of a raster; its picture is drawn."""
    layer = QgsRasterLayer(path, "raster")
    if not layer.isValid():
        return {"valid": False}
    provider, bands = layer.dataProvider(), range(1, layer.bandCount() + 1)
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setExtent(layer.extent())
    settings.setDestinationCrs(layer.crs())
    settings.setOutputSize(QSize(ZOOM * layer.width(), ZOOM * layer.height()))
    settings.setBackgroundColor(QColor(0, 0, 0, 0))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(str(pictures / f"{Path(path).name}.png"))
    return {
        "valid": True,
        "names": [layer.bandName(i) for i in bands],
        "nodata": [str(provider.sourceNoDataValue(i)) for i in bands],
        "has_nodata": [provider.sourceHasNoDataValue(i) for i in bands],
        "renderer": layer.renderer().type(),
        "drawn": layer.renderer().usesBands(),
        "crs": layer.crs().authid(),
    }


def main() -> None:
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    pictures, rasters = Path(sys.argv[1]), sys.argv[2:]
    result = [seen(path, pictures) for path in rasters]
    sys.stdout.write(json.dumps(result))
    application.exitQgis()


if __name__ == "__main__":
    main()
