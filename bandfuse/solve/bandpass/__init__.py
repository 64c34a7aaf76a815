"""Bandpass: weights of a target band that is one lobe along wavelength, learned from moments by
evidence.

A window with two soft edges says where the lobe is; a tilt and a ripple, smooth along wavelength,
say how the response departs from it. The seven numbers that describe window and ripple are chosen
by the evidence, the probability of the target's moments, and the weights are the non-negative ones
of highest posterior density.

Sources: Park and Pillow, "Receptive field inference with localized priors", PLoS Computational
Biology 7 (2011), for evidence of localised weights; Murayama and Ide-Ektessabi, "Bayesian image
superresolution for hyperspectral image reconstruction", Proceedings of SPIE 8296 (2013), for
sensitivities by marginal likelihood; Beirle et al., "Parameterizing the instrumental spectral
response function", Atmospheric Measurement Techniques 10 (2017), for windows with soft edges.

Each file is built on those before it::

    spectrum    the moments of one target and the bands' places along wavelength
    window      where the lobe is: intervals to start from, and a window with soft edges
    ripple      the prior of the weights around the window, and its evidence
    response    the weights, and draws of their posterior
"""
