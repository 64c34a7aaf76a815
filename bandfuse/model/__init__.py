"""Model: what a training leaves and what applying uses.

Each file is built on those before it::

    fusion         y = activation(gain · (W x) + offset)
    scratch        memory that each thread uses again for every block of pixels
    stored         the product of a cell as its pixels are stored
    decoder        the inverse map, from fused bands back to input bands
    discriminants  the classes of fused values
    uncertainty    how far outputs may be off, and how far a spectrum lies from the training's
    model          one fusion for all scenes, or one per scene beside the common one
    weightsfile    the safetensors file that holds them

It imports errors, summary, files and spectral.
"""
