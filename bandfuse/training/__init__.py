"""Training: from settings to a trained model. Nothing is written.

Each file is built on those before it::

    arrange       groups, targets and outputs
    checkpoint    the state of an interrupted training
    settings      the settings with every default filled in
    fitting       from a survey to a model
    messages      what a fit says of how it ended
    trained       the value that a training leaves
    learn         the whole of it: read, fit, assess

It imports errors, progress, device, files, spectral, config, model, streaming, moments, solve,
scenes, optimise, survey, checks and trust.
"""
