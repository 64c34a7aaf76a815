"""Moments: what one pass over the pixels leaves behind.

Each file is built on those before it::

    census       how many valid values the bands have
    gram         products z zᵀ of pixels
    sample       a sample of pixels that does not depend on the windows
    moments      counts, means and covariances that add up
    slopes       how a cube changes from pixel to pixel, and moments without what that explains
    tally        everything that a training pass gathers
    on_cpu       the pass in numpy, cell by cell
    on_device    the pass on a torch device, window by window
    reduce       one pass over a scene, on either

It imports errors, progress, summary, goals, device, spectral, model and streaming.
"""
