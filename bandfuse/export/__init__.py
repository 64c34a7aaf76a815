"""Export: learned weights in the forms of other programs. Text or bytes out; the tool writes and proves them.

Each file is built on those before it::

    linear        y = M x + c per stored value: what every linear form is made of
    tables        csv, json, numpy, srf (1 nm responses), sli (ENVI spectral library)
    vrt           GDAL virtual rasters: derived and processed bands, pansharpening
    expression    OTB's BandMathX
    stac          an item beside a fused raster
    network       onnx, pt2 (torch.export)

It imports errors, files, spectral, model and raster.
"""
