"""Scenes: from file names to described scenes on one grid.

Each file is built on those before it::

    displacement    by how much an image is shifted against a cube of the same place
    polynomials     displacements that change slowly over a scene
    local_shifts    by how much a sharp image is displaced in each of many windows
    field           which polynomials the windows show, and how far they can be believed
    folders         scenes given as a folder of rasters, or as a pattern of names
    places          which files make a scene: names, pairs, templates, tables
    scene           the described files of a scene
    scene_table     a scene as JSON holds it
    alignment       whether a target is shifted against its scene, and what is done then
    attempts        the same step for every scene; failures are collected
    matching        whether scenes have the same bands
    value_ranges    the values of a scene, beside those of a training
    opening         the scenes of a training, without broken ones where that is allowed

It imports errors, summary, results, spectral, model, streaming, moments, raster and config.
"""
