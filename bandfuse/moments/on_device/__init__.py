"""On device: the pass of a training on a torch device, window by window.

Each file is built on those before it::

    windows    what a thread reads of a window, before it travels
    card       what a device needs: bytes that travel, room, float32 without shortcuts
    cells      a batch of cells on the device, from stored types to numbers
    facts      counts and extremes of batches
    sums       moments of batches, and how they add up
    route      the way of a window through all of these
"""
