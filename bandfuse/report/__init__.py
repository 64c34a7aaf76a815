"""Report: what a training run found, as text that people and programs read.

Nothing is imported here, so that reading ``bandfuse.report.csv_json`` costs no matplotlib.

Each file is built on those before it::

    numbers           numbers as people read them
    page_data         words, pictures and counts of the page that report.json does not hold
    choice            which outputs are drawn one by one, and what they are called
    csv_json          weights.csv and report.json
    svg               a matplotlib figure as small SVG text, the same in every run
    figures           the charts
    maps              fused against target, certain weights by band, errors by block
    class_figures     spectra of classes, and what they are taken for
    displacement_map  where a sharp image is displaced against a cube
    overview          all outputs in one chart
    left              what runs leave unexplained, side by side
    pictures          arrays as PNG
    views             results as the rows and captions of the page
    demand            the weights of many outputs, for charts that the page draws itself
    trust_tables      the same for what is said of trust
    html              one self-contained page (template.html.j2, page.css, page.js)
    compare           the same for several runs (compare.html.j2)
    sharpen_data      what the page of a sharpening shows beside report.json
    sharpen_figures   the charts of a sharpening
    sharpen_html      its page (sharpen.html.j2, sharpen.css, sharpen.js)

It imports errors, results, files and spectral.
"""
