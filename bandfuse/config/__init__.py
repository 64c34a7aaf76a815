"""Config: every setting of every command, declared once: a field is its flag, default, check and
help.

The files, in the order in which they build on each other::

    keywords    messages about flags, said of keywords in Python
    base        what every settings model is: checks, messages, types of fields
    inputs      files of scenes, units, which pixels count, how grids meet
    outputs     how a command runs, and how rasters are stored
    train       the settings of a training, one class per section of its help
    moments     the settings of what is gathered to learn from later
    commands    the settings of the other commands
    paths       settings that name files
    flags       what the command line and its documentation say of a setting

It imports errors, files, summary, goals, needs, spectral and export.
"""
