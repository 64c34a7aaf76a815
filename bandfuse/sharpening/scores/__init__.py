"""Scores: how far a sharpened cube is from a true one, and what a sharpening is worth without one.

Each file is built on those before it::

    hypercomplex    Q2n, which compares the spectra of a square as numbers of 2^n parts
    squares         an image cut into squares
    ssim            the structural similarity of windows
    scores          how far a sharpened cube is from a true one, from sums over its parts
    alike           how alike pairs of bands are at two scales
    worth           what a sharpened cube is worth beside the interpolated one
    baselines       what else sharpens a cube
    reduced         the scene one scale down, where the cube is the truth
    held_out        each block of it, sharpened by what is learned from the others
    full_scale      scores where there is no true cube
    verdict         what the sharpening is worth, in scores

It imports results, spectral, streaming, solve, scenes, pairs and gains.
"""
