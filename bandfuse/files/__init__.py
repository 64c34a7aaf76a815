"""Files: what appears whole or not at all, and what is guarded against being overwritten. Small
texts, YAML and checksums.

Each file is built on those before it::

    textfile     small files that are read whole, up to a size; text as a terminal may show it
    unraisable   exceptions that Python cannot raise, as they come of GDAL's messages
    names        file names as GDAL, a VRT and a link need them
    styles       which raster a QGIS style beside it was written for
    placing      scratch folders, and the moves that put a set of files in its place
    making       the folder that an output names and that is not there yet
    guards       outputs never replace an input, or files that bandfuse did not write
    whole        files and folders that appear whole or not at all
    yamlfile     settings as text: YAML's safe types, no key twice
    checksums    SHA-256 of the inputs, by a thread of its own
    kinds        which of bandfuse's own files a file is
    tensorparts  safetensors files of tensors that come one after the other

It imports errors and progress.
"""
