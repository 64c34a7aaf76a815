"""Checks: what is odd about a raster, or about a scene and its target.

Each file is built on those before it::

    codes       the kinds of findings, with severity and remedy
    look        a bounded look at stored pixels
    fill        values that seem to stand for missing pixels, though nothing declares them
    subject     one raster with what the checks need to know of it
    metadata    checks of what a file says of itself
    pixels      checks of its values
    pairs       checks of a scene and its target

It imports errors, results, spectral, streaming, moments, raster and scenes.
"""
