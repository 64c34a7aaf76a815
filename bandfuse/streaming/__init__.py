"""Streaming: one pass over a raster, window by window, by several threads, in bounded memory.

Each file is built on those before it::

    windows    windows, cells and stacks, in integers
    blocks     the blocks of a raster that are held out together
    stream     one pass over windows, in order
    budget     threads and memory, and the windows that follow from them
    heap       what was freed goes back to the system

It imports progress and spectral.
"""
