"""Solve: which weights are learned, and their exact optimum. numpy, never torch.

Each file is built on those before it::

    classes       scatter within and between classes, and the linear classifier
    confusion     scores of a classification
    decoder       least squares from outputs back to bands
    fit_result    how to fit, and what a fit gives back
    layout        which entries of W are learned, shared or fixed
    nnls          non-negative least squares from Gram matrices
    scores        scores of outputs against targets
    design        from groups and targets to named outputs and their layout
    bandpass      responses that are one lobe along wavelength, by evidence
    exact         minimisers of quadratics under the constraints
    starts        initial weights
    squares       the squared error of a layout's weights, as a quadratic
    gathered      what losses are made of
    leading       the outputs that come first by an objective without targets
    gauge         the form in which rows of W are reported, where the objective leaves it open
    solved        the weights of a regression, where the exact solution is all that is needed

It imports errors, spectral, model and moments.
"""
