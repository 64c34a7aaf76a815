"""Trust: how far weights can be believed. Everything here is made of block moments; no pixel is read again.

Order inside the room, from the ground up::

    folds       contiguous blocks of pixels to hold out
    penalty     ridge and smooth as quadratic forms
    cases       one set of weights as quadratics, on all pixels and on each fold
    choose      regularisation and constraint by block cross-validation
    holdout     scores of outputs and of baselines on pixels that were held out
    intervals   block bootstrap
    jackknife   intervals from trainings without each fold
    shape       centre, width and out-of-band share of a response
    stability   how often signs change, and how far ranks move, over the resamples
    identify    neighbouring bands that cannot be told apart
    needed      few windows of bands that keep most of the held-out score
    rebuild     hold-out and baselines of a reconstruction
"""
