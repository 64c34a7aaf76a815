"""Survey: the pass over all scenes of a training, and what it leaves.

Each file is built on those before it::

    pool_units    whether the scenes of a pool hold values in the same units
    survey        the value that the pass leaves
    missing       dead bands, empty targets and missing pixels, and what is said of them
    scout         a look at a few windows before the pass
    gather        the pass itself

It imports errors, progress, results, device, spectral, streaming, moments, raster, solve and
scenes.
"""
