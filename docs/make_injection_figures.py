"""Draw the pictures of ``docs/injection.md``: one scene of the demo, step by step.

    python -m docs.make_injection_figures [--root runs/demo] [--experiment gen6] [--task TASK_ID]

Reads a finished campaign and writes ``docs/images/injection-*.png``. Every
picture comes from the library's own functions on a stored row; nothing is
modelled here. Without a task id the scene is the arc with the brightest pixel, in
S/N, of those with four images in good seeing and a deep image of a bright host.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq
from matplotlib.axes import Axes

from assets.experiments import get_experiment
from assets.sources import BANK_FILE
from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.config import Experiment
from darkhaloscope.lensing import noise, snr
from darkhaloscope.lensing.critical import critical_curve
from darkhaloscope.lensing.psf import moffat_profile, moffat_scale_arcsec, moffat_transfer
from darkhaloscope.lensing.renderers import open_renderer
from darkhaloscope.reports.canvas import GRID, INK, MUTED, SERIES, canvas, figure_of
from darkhaloscope.reports.figures_scene import (
    CRITICAL,
    grey,
    light_before_seeing,
    own_stretch,
    scene_figure,
    show_sky,
)
from darkhaloscope.reports.stamps_rgb import rgb
from darkhaloscope.schema import BANDS, STAMPS, per_band
from darkhaloscope.stamps.flux_target import footprint_sums
from darkhaloscope.stamps.parts import StampParts, take_apart
from docs.injection_rays import RayPlan, light_of_cells, plan_rays, rays_of, sample_template, shoot
from docs.injection_scene import clearest_quadruple

IMAGES = Path(__file__).parent / "images"
BAND_COLOURS = dict(zip(BANDS, (SERIES[2], SERIES[0], SERIES[3]), strict=True))
R = BANDS.index("r")
PANEL = (2.75, 3.05)
ZOOM_ARCSEC = 4.4


@click.command(help=__doc__)
@click.option("--root", type=click.Path(path_type=Path, exists=True), default="runs/demo", show_default=True)
@click.option("--experiment", "name", default="gen6", show_default=True)
@click.option("--task", "task_id", help="Row to show. [default: the clearest quadruple of the campaign]")
@click.option("--output", type=click.Path(path_type=Path), default=IMAGES, show_default=True)
def main(*, root: Path, name: str, task_id: str | None, output: Path) -> None:
    """Draw every step of one scene."""
    for path in draw_all(root, get_experiment(name), task_id, output):
        click.echo(f"{path}  {path.stat().st_size / 1000:.0f} kB")


def draw_all(root: Path, experiment: Experiment, task_id: str | None, output: Path) -> list[Path]:
    """Draw every step of one scene of a campaign.

    Parameters
    ----------
    root : path
        Campaign directory.
    experiment : Experiment
        One whose stamps are in it.
    task_id : str or None
        Row to show.
    output : path
        Directory of the pictures.

    Returns
    -------
    list of Path
        Pictures in the order of the steps.
    """
    store = ArtifactStore(root / "store")
    stamp = clearest_quadruple(store, experiment, task_id)
    tile = stamp["tile"][0].as_py()
    parts = take_apart(
        stamp,
        experiment=experiment,
        host_paths=store.paths(store.record("host_cutouts", tile), ".parquet"),
        bank_path=store.paths(store.record("cosmos_bank"), BANK_FILE)[0],
    )
    scene = parts.scene()
    renderer = open_renderer(experiment.renderer.engine, experiment.renderer.quality)
    arc = renderer.lensed(**scene).image[0]
    plan = plan_rays(parts, experiment.renderer.quality)
    part = store.paths(store.record("injected_stamps", experiment.name, tile), ".parquet")[0]
    return [
        draw_host(parts, output / "injection-1-host.png"),
        draw_source(parts, output / "injection-2-source.png"),
        draw_rays(parts, plan, output / "injection-3-rays.png"),
        draw_cells(parts, plan, output / "injection-4-cells.png"),
        draw_psf(parts, arc, output / "injection-5-psf.png"),
        draw_noise(parts, arc, output / "injection-6-noise.png"),
        draw_sum(parts, output / "injection-7-sum.png"),
        draw_snr(parts, arc, output / "injection-8-snr.png"),
        draw_targeting(parts, arc, output / "injection-9-targeting.png"),
        draw_storage(part, output / "injection-10-storage.png"),
        scene_figure(parts, output / "injection-11-render.png"),
    ]


def draw_host(parts: StampParts, path: Path) -> Path:
    """Host cutout in colour and per band, with the centre of the stamp and of the galaxy."""
    half_arcsec = _half_arcsec(parts)
    with canvas(path, columns=4, size=PANEL, dpi=85, colours=None) as panels:
        show_sky(panels[0], rgb(parts.host[None])[0], half_arcsec, "Host, g r z")
        for band, axes, plane in zip(BANDS, panels[1:], parts.host, strict=True):
            fwhm_arcsec = parts.row[f"psf_fwhm_{band}_arcsec"]
            show_sky(axes, grey(plane), half_arcsec, f'{band}, seeing {fwhm_arcsec:.2f}"')
        panels[0].plot(*parts.galaxy_arcsec, "x", color="white", markersize=5)
    return path


def draw_source(parts: StampParts, path: Path) -> Path:
    """Template as it is in the bank, as it stands on the sky, and the flux it is given."""
    assert parts.template is not None
    scale, template = parts.template_scale_arcsec, parts.template.astype(np.float64)
    half_arcsec = template.shape[0] * scale / 2.0
    with canvas(path, columns=3, size=PANEL, dpi=85, colours=None) as (bank, sky, growth):
        bank.imshow(grey(template), origin="lower", cmap="gray", extent=(-half_arcsec, half_arcsec) * 2)
        bank.set(title="Template in the bank", xlabel="arcsec", ylabel="arcsec")
        bank.grid(visible=False)
        axis = np.linspace(-half_arcsec, half_arcsec, 200)
        x, y = np.meshgrid(axis, axis)
        turned = sample_template(parts, x, y)
        turn = "Mirrored and turned" if parts.row["src_flip"] else "Turned"
        show_sky(sky, grey(turned), half_arcsec, turn)
        middle = (template.shape[0] - 1) / 2.0
        rows, columns = np.indices(template.shape) - middle
        radius = np.hypot(rows, columns) * scale
        order = np.argsort(radius.ravel())
        share = np.cumsum(template.ravel()[order])
        growth.plot(radius.ravel()[order], share, color=INK)
        growth.axhline(1.0, color=MUTED, linewidth=0.8, linestyle=":")
        for band in BANDS:
            growth.plot(
                [], [], color=BAND_COLOURS[band], label=f"{band} = {parts.row[f'src_mag_{band}']:.2f}"
            )
        growth.set(xlabel="radius [arcsec]", ylabel="share of the flux", title="Sum 1, one flux per band")
        growth.legend(loc="lower right", title="unlensed mag", title_fontsize=8)
    return path


def draw_rays(parts: StampParts, plan: RayPlan, path: Path) -> Path:
    """Deflection field, how many rays each cell gets, and where they land."""
    scene, deflector = parts.scene(), parts.deflector()
    centre = (deflector["lens_x_arcsec"], deflector["lens_y_arcsec"])
    curve = critical_curve(**deflector)
    with canvas(path, columns=3, size=(3.1, 3.0), dpi=85, colours=None) as (field, shot, plane):
        axis = np.linspace(-ZOOM_ARCSEC, ZOOM_ARCSEC, 15)
        x, y = np.meshgrid(axis, axis)
        beta_x, beta_y = shoot(parts, x, y)
        to_x, to_y = beta_x + scene["src_x_arcsec"] + centre[0], beta_y + scene["src_y_arcsec"] + centre[1]
        field.quiver(
            x, y, to_x - x, to_y - y, angles="xy", scale_units="xy", scale=3.0, color=MUTED, width=0.004
        )
        field.plot(*curve.T, color=SERIES[0], linewidth=1.4)
        _square(field, ZOOM_ARCSEC, "Deflection, arrows at 1/3")

        number = (plan.across * plan.upward).astype(float)
        number[number == 0] = np.nan
        share = float(np.isfinite(number).mean())
        _mapped(shot, number, f"Rays, in {share:.0%} of cells", None, _half_arcsec(parts), scale="log")
        shot.plot(*curve.T, color=CRITICAL, linewidth=1.2)
        shot.set(xlim=(-ZOOM_ARCSEC, ZOOM_ARCSEC), ylim=(-ZOOM_ARCSEC, ZOOM_ARCSEC))

        x, y, _ = rays_of(plan)
        beta_x, beta_y = shoot(parts, x, y)
        hit = sample_template(parts, beta_x, beta_y) != 0.0
        angle = np.arctan2(y - centre[1], x - centre[0])[hit]
        plane.scatter(beta_x[hit], beta_y[hit], c=angle, cmap="hsv", s=1.5, linewidths=0)
        half_arcsec = 1.1 * max(np.abs(beta_x[hit]).max(), np.abs(beta_y[hit]).max())
        _square(plane, half_arcsec, "Where they meet the source")
    return path


def draw_cells(parts: StampParts, plan: RayPlan, path: Path) -> Path:
    """Source light before any grid, averaged to cells, and to pixels."""
    cells = light_of_cells(parts, plan)
    before = light_before_seeing(parts.scene(), ZOOM_ARCSEC, (0.0, 0.0))[R]
    pixels = _average(cells, plan.across.shape[0] // parts.image.shape[-1])
    with canvas(path, columns=3, size=PANEL, dpi=85, colours=None) as panels:
        for title, light, axes in zip(
            ("Before any grid", "Half-pixel cells", "Pixels, for comparison"),
            (before, _zoomed(cells, parts), _zoomed(pixels, parts)), panels, strict=True,
        ):  # fmt: skip
            picture = np.clip(light / light.max(), 0.0, 1.0) ** 0.5
            show_sky(axes, picture, ZOOM_ARCSEC, title)
    return path


def draw_psf(parts: StampParts, arc: np.ndarray, path: Path) -> Path:
    """Transfer function and profile of the PSF, and the arc in every band."""
    fwhm = [parts.row[name] for name in per_band("psf_fwhm_{b}_arcsec")]
    with canvas(path, columns=5, size=(2.5, 2.7), dpi=80, colours=None) as (transfer, profile, *bands):
        frequency = np.linspace(0.0, 0.75, 400)  # cycles per pixel
        k_rad_arcsec = 2.0 * np.pi * frequency / parts.pixel_scale_arcsec
        radius_arcsec = np.linspace(0.0, 4.0, 400)
        for band, width in zip(BANDS, fwhm, strict=True):
            colour = BAND_COLOURS[band]
            value = moffat_transfer(k_rad_arcsec * float(moffat_scale_arcsec(width)))
            transfer.plot(frequency, value, color=colour, label=f'{band}  {width:.2f}"')
            profile.plot(radius_arcsec, moffat_profile(radius_arcsec, width), color=colour)
        transfer.plot(frequency, np.sinc(frequency), color=MUTED, linewidth=0.9, label="pixel")
        transfer.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
        transfer.set(yscale="log", ylim=(1e-6, 1.5), xlabel="cycles per pixel", title="Transfer function")
        transfer.legend(loc="lower left", fontsize=7)
        profile.set(yscale="log", xlabel="radius [arcsec]", title="PSF [1/arcsec²]")
        peak = float(arc.max())
        for band, plane, axes in zip(BANDS, arc, bands, strict=True):
            picture = np.clip(plane / peak, 0.0, 1.0) ** 0.5
            show_sky(axes, _zoomed(picture, parts), ZOOM_ARCSEC, f"Arc in {band}")
    return path


def draw_noise(parts: StampParts, arc: np.ndarray, path: Path) -> Path:
    """Effective gain, the photon noise that was drawn, and the variance it adds."""
    before = parts.host_invvar.astype(np.float64)
    gain = noise.effective_gain(parts.sky_nmgy[:, None, None], before)[R]
    drawn = (parts.added - arc)[R]
    sky_sigma = 1.0 / np.sqrt(np.median(before[R][before[R] > 0.0]))
    extra = noise.light_variance(arc[R], gain) * before[R]
    with canvas(path, columns=4, size=(2.95, 2.75), dpi=85, colours=None) as panels:
        maps = (
            ("Gain, r [electrons/nMgy]", gain, None),
            ("Arc [electrons]", arc[R] * gain, None),
            (r"Photon noise drawn [sky $\sigma$]", drawn / sky_sigma, (-0.6, 0.6)),
            ("Added variance [% of sky]", 100.0 * extra, None),
        )
        for axes, (title, picture, limits) in zip(panels, maps, strict=True):
            _mapped(axes, picture, title, limits, _half_arcsec(parts))
    return path


def draw_sum(parts: StampParts, path: Path) -> Path:
    """Host, added light and their sum, in one stretch."""
    with canvas(path, columns=3, size=PANEL, dpi=85, colours=None) as panels:
        for title, picture, axes in zip(
            ("Host", "Arc with photon noise", "Stamp = host + arc"),
            (parts.host, parts.added, parts.image), panels, strict=True,
        ):  # fmt: skip
            show_sky(axes, rgb(picture[None])[0], _half_arcsec(parts), title)
    return path


def draw_snr(parts: StampParts, arc: np.ndarray, path: Path) -> Path:
    """Footprint of the arc, weights of the matched filter, and both S/N per band."""
    half_arcsec = _half_arcsec(parts)
    footprint = snr.footprint_mask(arc[R]) & parts.good[R]
    weight = np.where(parts.good[R], arc[R] * np.sqrt(parts.invvar[R]), 0.0)
    with canvas(path, columns=3, size=PANEL, dpi=85, colours=None) as (area, matched, bars):
        show_sky(area, rgb(own_stretch(arc)[None])[0], half_arcsec, "Footprint in r")
        axis = (np.arange(arc.shape[-1]) - (arc.shape[-1] - 1) / 2.0) * parts.pixel_scale_arcsec
        area.contour(axis, axis, footprint.astype(float), levels=[0.5], colors=[CRITICAL], linewidths=1.3)
        _mapped(matched, weight, "S/N of each pixel, r", None, half_arcsec)
        place = np.arange(len(BANDS))
        for shift, label, name, colour in (
            (-0.2, "footprint", "arc_snr_footprint_{b}", SERIES[0]),
            (0.2, "matched filter", "arc_snr_matched_{b}", SERIES[1]),
        ):
            values = [parts.row[column] for column in per_band(name)]
            drawn = bars.bar(place + shift, values, width=0.38, color=colour, label=label)
            bars.bar_label(drawn, fmt="%.0f", fontsize=8, color=INK)
        bars.set(xticks=place, xticklabels=BANDS, title="S/N of the arc")
        bars.margins(y=0.45)
        bars.legend(loc="upper right")
    return path


def draw_targeting(parts: StampParts, arc: np.ndarray, path: Path) -> Path:
    """Footprint S/N against the flux of the source: closed form, and measured on scaled arcs."""
    before = parts.host_invvar.astype(np.float64)
    gain = noise.effective_gain(parts.sky_nmgy[:, None, None], before)
    sums = footprint_sums(
        arc[None].astype(np.float32),
        invvar=parts.host_invvar[None],
        good=parts.good[None],
        hosts=[0],
        sky_nmgy=parts.sky_nmgy[[R]],
    )
    magnitude = parts.row["src_mag_r"]
    scale = np.geomspace(0.01, 10.0, 200)
    probes = np.geomspace(0.02, 8.0, 9)
    measured = [
        float(snr.footprint(s * arc[R], 1.0 / (1.0 / before[R] + noise.light_variance(s * arc[R], gain[R]))))
        for s in probes
    ]
    with canvas(path, columns=2, size=(3.9, 2.9), dpi=85) as (curve, slope):
        shown = magnitude - 2.5 * np.log10(scale)
        curve.plot(shown, [sums.snr(s)[0] for s in scale], color=SERIES[1], label="closed form")
        curve.plot(
            magnitude - 2.5 * np.log10(probes), measured, "o", color=SERIES[0], markersize=4, label="measured"
        )
        for target in (2.0, 10.0, 50.0):
            factor = float(sums.scale([target])[0])
            at = magnitude - 2.5 * np.log10(factor)
            curve.plot(
                [at, at, shown.max()], [0.3, target, target], color=MUTED, linewidth=0.8, linestyle=":"
            )
        curve.set(
            yscale="log",
            ylim=(0.5, None),
            xlabel="unlensed r [mag]",
            ylabel="footprint S/N",
            title="S/N follows the flux",
        )
        curve.set_xlim(shown.max(), shown.min())
        curve.legend(loc="upper left")
        slope.plot(shown, [sums.slope(s)[0] for s in scale], color=SERIES[1])
        slope.axhline(1.0, color=MUTED, linewidth=0.8, linestyle=":")
        slope.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
        slope.set(
            ylim=(0.45, 1.05),
            xlabel="unlensed r [mag]",
            ylabel="d ln(S/N) / d ln(flux)",
            title="Sky-limited to photon-limited",
        )
        slope.set_xlim(shown.max(), shown.min())
    return path


def draw_storage(part: Path, path: Path) -> Path:
    """Bytes of one stored row by column, from the file itself."""
    pixels = [column.name for column in STAMPS.pixel_columns()]
    stored: dict[str, float] = dict.fromkeys([*pixels, "all other columns"], 0.0)
    raw = dict.fromkeys(stored, 0.0)
    with pq.ParquetFile(part) as file:
        footer = file.metadata
        for group in range(footer.num_row_groups):
            for index in range(footer.num_columns):
                column = footer.row_group(group).column(index)
                top = column.path_in_schema.split(".")[0]
                name = top if top in stored else "all other columns"
                stored[name] += column.total_compressed_size / footer.num_rows / 1000.0
                raw[name] += column.total_uncompressed_size / footer.num_rows / 1000.0
    with canvas(path, size=(6.6, 2.1), dpi=85) as (axes,):
        place = np.arange(len(stored))
        axes.barh(place, list(raw.values()), color=GRID, label="as arrays")
        drawn = axes.barh(place, list(stored.values()), color=SERIES[1], height=0.5, label="on disk")
        axes.bar_label(drawn, fmt="%.1f kB", fontsize=8, color=INK, padding=3)
        axes.set(
            yticks=place,
            yticklabels=list(stored),
            xlabel="kB per row",
            title=f"One row: {sum(stored.values()):.0f} kB",
        )
        axes.invert_yaxis()
        axes.legend(loc="lower right")
    return path


def _half_arcsec(parts: StampParts) -> float:
    return parts.image.shape[-1] * parts.pixel_scale_arcsec / 2.0


def _zoomed(picture: np.ndarray, parts: StampParts) -> np.ndarray:
    """Cut the middle of a picture of the whole stamp, ``ZOOM_ARCSEC`` to every side."""
    side = picture.shape[0]
    margin = round(side / 2 * (1.0 - ZOOM_ARCSEC / _half_arcsec(parts)))
    return picture[margin : side - margin, margin : side - margin]


def _average(values: np.ndarray, factor: int) -> np.ndarray:
    side = values.shape[0] // factor
    return values.reshape(side, factor, side, factor).mean(axis=(1, 3))


def _square(axes: Axes, half_arcsec: float, title: str) -> None:
    axes.set(xlim=(-half_arcsec, half_arcsec), ylim=(-half_arcsec, half_arcsec), aspect="equal", title=title)
    axes.set(xlabel="arcsec, west to the right")


def _mapped(
    axes: Axes,
    picture: np.ndarray,
    title: str,
    limits: tuple[float, float] | None,
    half_arcsec: float,
    *,
    scale: str = "linear",
) -> None:
    """Draw a map with its scale beside it."""
    low, high = limits or (None, None)
    shown = axes.imshow(
        picture, origin="lower", extent=(-half_arcsec, half_arcsec) * 2, vmin=low, vmax=high,
        cmap="RdBu_r" if limits else "magma", interpolation="nearest", norm=scale,
    )  # fmt: skip
    axes.set(title=title)
    axes.set_axis_off()
    figure_of(axes).colorbar(shown, ax=axes, shrink=0.8)


if __name__ == "__main__":
    main()
