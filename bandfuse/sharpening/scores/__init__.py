"""Scores: how far a sharpened cube is from a true one, and what a sharpening is worth without one.

Each file is built on those before it::

    hypercomplex    Q2n, which compares the spectra of a square as numbers of 2^n parts
    scores          how far a sharpened cube is from a true one; what is said without one
    baselines       what else sharpens a cube
    reduced         everything once more one scale down, where the cube is the truth
    worth           what a sharpened cube is worth beside the interpolated one
    verdict         what the sharpening is worth, in scores

It imports results, spectral, streaming, solve, scenes, pairs and gains.
"""
