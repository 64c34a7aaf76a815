"""Spectral: what is known of bands. Text and numbers, no pixels.

Each file is built on those before it::

    remarks        messages that carry the code of a check
    bands          the table of bands
    band_order     whether bands that are taken by position have the expected names
    detectors      bands out of order, and detectors that see the same wavelengths
    units          words for units of wavelength, and what the size of numbers tells without them
    value_units    the values of bands, and whether other values can be in the same units
    columns        tables of bands and of values as JSON holds them
    headers        the texts of headers and tables, as lists
    metadata       from the texts of a raster to its table of bands
    sensors        published responses of known sensors, and tables of one's own
    groups         named lists of bands, and the rules that make them
    colours        which bands are red, green and blue
    display        which bands a picture shows
    lobe           centre and width of a response
    resampling     weights that follow from wavelengths alone

It imports errors, summary and files.
"""
