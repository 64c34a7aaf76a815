"""Moments: what one pass over the pixels leaves behind.

Each file is built on those before it::

    census     how many valid values the bands have
    gram       products z zᵀ of pixels, on the CPU or on a torch device
    sample     a sample of pixels that does not depend on the windows
    moments    counts, means and covariances that add up
    slopes     how a cube changes from pixel to pixel, and moments without what that explains
    tally      everything that a training pass gathers

It imports errors, progress, summary, spectral, model and streaming.
"""
