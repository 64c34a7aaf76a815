"""Objectives: what a fusion is good for, as a loss of its weights. One file per objective.

Each file is built on those before it::

    base              what every objective offers to the descent
    reconstruction    how well the fused bands give the input bands back
    regression        squared error against targets, from moments
    sampled           losses of single pixels, over a sample
    separability      how far classes lie apart
    snr               the signal-to-noise ratio
    total             a weighted sum of objectives
"""
