"""The report: what a training run found, as text that people and programs read.

Order inside the room, from the ground up; each file imports only from those before it::

    numbers    numbers as people read them
    page       what the page holds beside report.json: words, pictures, counts
    tables     weights.csv and report.json                    (no matplotlib)
    svg        a matplotlib figure as small, themed, deterministic SVG text
    figures    the charts
    maps       pixels by two values, certain weights by band, errors by block
    overview   all outputs in one chart
    pictures   arrays as PNG
    views      results → the rows and captions of the page
    trusting   the same for what is said of trust
    html       render: one self-contained page (template.html.j2, page.css, page.js)
    compare    the same for several runs side by side (compare.html.j2)

Nothing is imported here, so that reading ``bandfuse.report.csv_json`` costs no matplotlib.
"""
