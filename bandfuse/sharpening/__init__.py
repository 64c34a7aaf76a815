"""Sharpening: a cube at the resolution of a sharper image.

Each file is built on those before it::

    scores      how far a sharpened cube is from a true one; what is said without one
    baselines   sharpening by methods that everyone knows

It imports spectral, streaming and solve.
"""
