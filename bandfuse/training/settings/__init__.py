"""Settings: those of a training, from what was given to what each of its steps needs.

Each file is built on those before it::

    clashes     settings that exclude each other, or do not apply
    defaults    the settings with every default filled in
    moments     those of a training that reads files of moments
    steps       what each step needs of them
"""
