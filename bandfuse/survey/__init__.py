"""Survey: the pass over all scenes of a training, and what it leaves.

Each file is built on those before it::

    pool_units       whether the scenes of a pool hold values in the same units
    survey           the value that passes leave together
    pool_sample      the pixels that scenes of a pool keep of their samples
    pool_blocks      scenes of a pool that share a block
    pool             both, as scenes come
    missing          dead bands, empty targets and missing pixels, and what is said of them
    scout            a look at a few windows before the pass
    scene_moments    what the pass over one scene leaves
    fewest           moments of which no number is of few pixels
    momentsfile      the file that holds it
    stored_moments   moments in a file that are opened when they are needed
    gather           the pass itself
    together         what the passes over several scenes come to

It imports errors, progress, results, device, files, spectral, streaming, moments, raster, solve and
scenes.
"""
