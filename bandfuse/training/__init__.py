"""Training: from settings to a trained model. Nothing is written.

Each file is built on those before it::

    arrange       groups, targets and outputs
    checkpoint    the state of an interrupted training
    fitting       from a survey to a model
    regathered    what passes have left before, made fit for a training
    settings      the settings with every default filled in, and what each step needs of them
    sampling      how many pixels are drawn to train on, and their memory
    reading       the one pass over the pixels, and what a user should know of them
    plan          what a training will read, learn and write, without its pixels
    placing       where the fit runs, and its refits
    messages      what a fit says of how it ended
    trained       the value that a training leaves
    learn         the whole of it: read, fit, assess

It imports errors, progress, results, goals, device, files, spectral, model, streaming, moments,
solve, config, scenes, optimise, survey, checks and trust.
"""
