"""The command line: typer and rich live here, and nowhere else.

Each file is built on those before it::

    options         from a settings model to command line options
    streams         stdout and stderr as they come: closed, full, or of a small encoding
    usage_errors    what is typed wrongly, as one message
    show            results as tables, progress and messages
    show_batch      a batch as it runs
    show_rasters    the results of info and resample
    show_help       pages of the documentation
    commands        each takes its settings, calls a tool and shows the result
    rio             ``rio bandfuse``, a plugin of rasterio's command line
    main            the entry point

It imports errors, progress, results, needs, files, config, tools and batches.
"""
