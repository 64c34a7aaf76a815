"""Trust: how far weights can be believed. Nearly all of it is made of the moments of blocks; no
pixel is read again.

Each file is built on those before it::

    moved_outputs        outputs beside a target that lies off its scene
    folds                contiguous blocks of pixels that are held out
    penalty              ridge and smoothness as quadratic forms
    published            learned weights beside the published response of a sensor
    response_shape       centre, width and out-of-band share of a response
    stability            how often signs change and ranks move, over resamples
    kept                 matrices that are asked for again, as far as there is room for them
    fold_problems        the weights of some outputs as quadratics, on all pixels and on each fold
    lobes                band-pass responses, on all pixels and without each fold
    refits               scores of models that are learned again without each fold
    band_windows         few windows of bands that keep 99 % of the held-out score
    regularisation       regularisation and constraint, chosen by block cross-validation
    baselines            scores of the weights and of baselines, on training and held-out pixels
    bootstrap            intervals by a block bootstrap
    indistinguishable    neighbouring bands that the pixels cannot tell apart
    jackknife            intervals from trainings without each fold
    assess               all of this for a regression
    cloud                where the spectra of a training lie
    output_errors        how far fused pixels may be off
    scorers              how objectives without a target are scored, and their baselines
    trials               trainings without each fold, for such objectives

It imports errors, progress, results, spectral, model, streaming, moments, solve and survey.
"""
