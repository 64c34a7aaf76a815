"""Optimise: losses, objectives and descent, in torch.

Each file is built on those before it::

    activations       functions that may follow the weighted sum
    checkpointfile    the safetensors file with the state of a descent
    doors             where numbers go to a device and come back
    members           sums over sets, with the same bits on every run
    losses            how far outputs are from targets, pixel by pixel
    descent           first-order steps, minibatches, schedules, early stopping
    quasinewton       limited-memory BFGS, of many problems side by side
    parameters        parameters θ → weights → W; gradients reach every parameter
    objectives        one file per objective
    fit               minimise an objective over the weights of a layout

It imports errors, progress, spectral and solve.
"""
