"""Tools: one file per verb. Settings in, a result model out. They never print and never exit.

Each file is built on those before it::

    apply       saved weights to rasters of any size
    check       what is odd about a scene and its target
    sensors     the known sensors, and the bands of one
    init        a commented config for a job
    info        what bandfuse sees in a file
    resample    the bands of a known sensor from a cube
    sharpen     a cube at the resolution of a sharper image
    evaluate    scores of saved weights on other images
    train       weights from image files, into a run folder
    report      the page of a run, made again
    compare     runs side by side
    export      weights in the form of another program
    demo        a scene with a known answer, from the first file to the report
    help        the pages of the documentation

It imports errors, progress, results, goals, device, needs, files, spectral, model, report,
synthetic, streaming, moments, raster, solve, export, config, scenes, optimise, survey, checks,
applying, sharpening, training and runs.
"""
