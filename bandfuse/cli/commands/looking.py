"""Looking: commands that show what there is, and learn nothing."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from typer import Argument

from bandfuse.cli.declaring import Outcome, command
from bandfuse.cli.flags import Option, Wavelengths
from bandfuse.errors import ConfigError, shorten
from bandfuse.needs import require_meaning


@command()
def info(
    scenes: Annotated[
        list[str] | None,
        Argument(
            help="Raster files, products, folders of them, or a pattern in quotes.", metavar="SCENE"
        ),
    ] = None,
    formats: Annotated[
        bool, Option("--formats", help="List what can be opened, and what to give.")
    ] = False,
    groups: Annotated[
        str | None,
        Option("--groups", help="Preview groups: equal:8, regions, 450-520nm.", metavar="SPEC"),
    ] = None,
    wavelengths: Wavelengths = None,
) -> Outcome:
    """Show what bandfuse sees in files: bands, wavelengths, bad bands, nodata, scale.

    \b
    Examples:
      bandfuse info cube.tif --groups equal:8
      bandfuse info --formats
    """
    from bandfuse.cli.show_rasters import show_formats, show_info
    from bandfuse.tools import info as tool

    others = {"groups": groups, "wavelengths": wavelengths}
    require_meaning(others, "formats", formats, values=(False,))
    if formats:
        if scenes:
            raise ConfigError(
                "--formats lists what can be opened, and reads no SCENE",
                got=shorten(scenes),
                remedy="Leave one out.",
            )
        known = tool.formats()
        return Outcome(known, partial(show_formats, known))
    result = tool.info(scenes or [], groups, wavelengths)
    empty = {name for name in ("groups", "vectors", "moments") if not getattr(result, name)}
    return Outcome(result, partial(show_info, result), hidden=frozenset(empty))


@command()
def check(
    scene: Annotated[str, Argument(help="Raster file.", metavar="SCENE")],
    target: Annotated[str | None, Argument(help="Target to train on.", metavar="TARGET")] = None,
    wavelengths: Wavelengths = None,
    nodata: Annotated[
        str | None,
        Option(
            "--nodata",
            help="Value that means missing, or one per band, or none.",
            metavar="V[,V...]",
        ),
    ] = None,
    scale: Annotated[
        float | None, Option("--scale", help="With --fix: value = stored * scale.")
    ] = None,
    fix: Annotated[
        str | None,
        Option("--fix", help="Write a GDAL VRT with corrected metadata.", metavar="OUT.vrt"),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing VRT.")] = False,
    seed: Annotated[
        int, Option("--seed", help="Which parts of a large scene are looked at.", min=0)
    ] = 0,
) -> Outcome:
    """Name what is odd about a scene, or a scene and its target.
    Exit code 1: something needs a decision.

    \b
    Examples:
      bandfuse check cube.img target.tif
      bandfuse check cube.img --nodata -9999 --fix cube.vrt
    """
    from bandfuse.cli.show_rasters import show_findings
    from bandfuse.tools.check import check as tool
    from bandfuse.tools.check import look_text

    declared = {"wavelengths": wavelengths, "nodata": nodata, "scale": scale}
    result = tool(scene, target, **declared, fix=fix, overwrite=overwrite, seed=seed)  # type: ignore[arg-type]
    return Outcome(
        result,
        partial(show_findings, result, look_text(result)),
        hidden=frozenset({"fixed"} if result.fixed is None else ()),
        failed=bool(result.decisions),
    )


@command()
def sensors(
    name: Annotated[
        str | None, Argument(help="A known sensor, or a CSV file with responses.", metavar="NAME")
    ] = None,
) -> Outcome:
    """List the known sensors; or show the bands of one, and draw their responses.

    \b
    Examples:
      bandfuse sensors
      bandfuse sensors sentinel-2a
      bandfuse sensors mine.csv --json
    """
    from bandfuse.cli.show_sensors import show_sensor, show_sensors
    from bandfuse.tools.sensors import sensor
    from bandfuse.tools.sensors import sensors as tool

    if name is None:
        every = tool()
        return Outcome(every, partial(show_sensors, every))
    one = sensor(name)
    return Outcome(one, partial(show_sensor, one))
