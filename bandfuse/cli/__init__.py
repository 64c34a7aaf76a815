"""The command line: typer and rich live here, and nowhere else.

Each file is built on those before it::

    interrupts      Ctrl-C while the program starts or ends
    options         from a settings model to command line options
    layout          text, lists and tables in the width of a terminal
    help            the page that --help prints
    streams         stdout and stderr as they come: closed, full, or of a small encoding
    bars            the live display of what a command does
    usage_errors    what is typed wrongly, as one message
    show            results as tables, progress and messages
    show_batch      a batch as it runs
    show_rasters    the results of info and resample
    show_sharpen    what a sharpening learned, and how it was scored
    show_sensors    the bands of sensors, and their responses drawn with blocks
    show_plan       what a training will read, learn and write
    show_help       pages of the documentation
    flags           flags that several commands share
    declaring       a function that takes settings and returns an outcome becomes a command
    commands        each takes its settings, calls a tool and shows the result
    rio             ``rio bandfuse``, a plugin of rasterio's command line
    main            the entry point

It imports errors, progress, results, needs, files, config, runs, tools and batches.
"""
