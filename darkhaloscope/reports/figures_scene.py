"""Pictures of one stamp: host, added light, their sum, and the lens behind the light.

One function draws one row of any kind. What the row is made of comes from
``stamps.parts``; sheets of many stamps are drawn in ``stamps_rgb``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from darkhaloscope.lensing.critical import caustics, critical_curve, images
from darkhaloscope.lensing.reference import reference_render
from darkhaloscope.reports.canvas import INK, MUTED, canvas, figure_of
from darkhaloscope.reports.row_table import NO_VALUE
from darkhaloscope.reports.stamps_rgb import rgb
from darkhaloscope.schema import BANDS, per_band
from darkhaloscope.stamps.parts import StampParts

FloatArray = NDArray[np.float64]

CRITICAL, CUT = "#f2b134", "#7fd1e0"
"""Colours of the critical curve with its caustic, and of the cut."""

_FINE_PX = 240
_SHOWN_PEAK_NMGY = 0.15
_PANEL_INCHES = (3.0, 3.2)


def scene_figure(parts: StampParts, path: str | Path, *, verdict: str = "") -> Path:
    """Draw one stamp and what it is made of.

    A positive shows host, arc and sum in one stretch, then the arc as it is
    before the seeing with critical curve and images, the source with caustics,
    and its parameters. A control with added light shows that light and its
    source; one without shows its bands.

    Parameters
    ----------
    parts : StampParts
        From :func:`darkhaloscope.stamps.parts.take_apart`.
    path : path
        PNG.
    verdict : str
        What a comparison with the stored row found, for the caption.

    Returns
    -------
    Path
        ``path``.
    """
    half_arcsec = parts.image.shape[-1] * parts.pixel_scale_arcsec / 2.0
    has_light = parts.template is not None
    rows, columns = (2, 3) if has_light else (1, 5)
    with canvas(path, rows=rows, columns=columns, size=_PANEL_INCHES, dpi=90, colours=None) as panels:
        if has_light:
            light = "arc" if parts.is_lensed else "light"
            pictures = zip(
                ("Host", f"{light.capitalize()} added", f"Host + {light}"),
                (parts.host, parts.added, parts.image),
                panels[:3],
                strict=True,
            )
            for title, picture, axes in pictures:
                show_sky(axes, rgb(picture[None])[0], half_arcsec, title)
            if parts.is_lensed:
                draw_arc_without_seeing(panels[3], parts)
                draw_source_plane(panels[4], parts)
            else:
                zoom = own_stretch(parts.added)
                show_sky(panels[3], rgb(zoom[None])[0], half_arcsec, "Light added, own stretch")
                draw_source(panels[4], parts)
        else:
            show_sky(panels[0], rgb(parts.image[None])[0], half_arcsec, "Host, nothing added")
            for band, plane, axes in zip(BANDS, parts.image, panels[1:4], strict=True):
                show_sky(axes, grey(plane), half_arcsec, f"{band} band")
        write_caption(panels[-1], parts, verdict)
        row = parts.row
        figure_of(panels[0]).suptitle(
            f"{row['task_id']}   {row['control_kind'].replace('_', ' ')} on {row['host_id']}",
            fontsize=10,
            fontweight="bold",
            x=0.01,
            ha="left",
        )
    return Path(path)


def show_sky(
    axes: Axes,
    picture: NDArray[Any],
    half_arcsec: float,
    title: str,
    *,
    centre_arcsec: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Draw a square picture of the sky with a scale bar and the directions north and east.

    Parameters
    ----------
    axes : Axes
        Panel.
    picture : ndarray, shape (n, n, 3) of uint8, or (n, n) of grey in [0, 1]
        y up = north, x right = west.
    half_arcsec : float
        Half the side of the picture.
    title : str
        Above the panel.
    centre_arcsec : (float, float)
        Centre of the picture in the frame of the stamp.
    """
    x, y = centre_arcsec
    extent = (x - half_arcsec, x + half_arcsec, y - half_arcsec, y + half_arcsec)
    axes.imshow(picture, origin="lower", extent=extent, interpolation="nearest", cmap="gray", vmin=0, vmax=1)
    axes.set(xlim=extent[:2], ylim=extent[2:], title=title)
    axes.set_axis_off()
    bar_arcsec = _bar_arcsec(half_arcsec)
    inside = 0.9 * half_arcsec
    left, bottom = x - inside, y - inside
    axes.plot([left, left + bar_arcsec], [bottom, bottom], color="white", linewidth=2.0)
    axes.text(left, bottom + 0.04 * half_arcsec, f'{bar_arcsec:g}"', color="white", fontsize=8, va="bottom")
    corner, arm = (x + inside, y - inside), 0.22 * half_arcsec
    for label, (dx, dy) in (("N", (0.0, arm)), ("E", (-arm, 0.0))):
        tip = (corner[0] + dx, corner[1] + dy)
        axes.annotate(
            "", tip, corner, arrowprops={"arrowstyle": "->", "color": "white", "shrinkA": 0, "shrinkB": 0}
        )
        axes.text(
            tip[0] + 0.25 * dx, tip[1] + 0.25 * dy, label, color="white", fontsize=8, ha="center", va="center"
        )


def grey(plane: NDArray[Any]) -> FloatArray:
    """Return one band in [0, 1] on an asinh stretch between sky noise and the brightest pixels."""
    values = np.nan_to_num(np.asarray(plane, dtype=np.float64))
    low, high = np.percentile(values, [5.0, 99.7])
    span = max(high - low, np.finfo(np.float32).tiny)
    scaled = np.clip((values - low) / span, 0.0, 1.0)
    return np.asarray(np.arcsinh(10.0 * scaled) / np.arcsinh(10.0))


def own_stretch(light: NDArray[Any]) -> FloatArray:
    """Scale light, colours kept, so that its brightest r pixels show their shape in ``rgb``."""
    values = np.asarray(light, dtype=np.float64)
    peak = np.percentile(values[BANDS.index("r")], 99.7)
    return np.asarray(values * (_SHOWN_PEAK_NMGY / peak) if peak > 0.0 else values)


def light_before_seeing(
    scene: dict[str, Any], half_arcsec: float, centre_arcsec: tuple[float, float]
) -> FloatArray:
    """Return the light of a scene on fine pixels, before the PSF, by lenstronomy.

    Parameters
    ----------
    scene : dict
        From :meth:`StampParts.scene`.
    half_arcsec, centre_arcsec
        Field, as in :func:`show_sky`.

    Returns
    -------
    ndarray, shape (bands, n, n)
        Unit: nMgy per survey pixel, so that it is drawn like a stamp.
    """
    fine_arcsec = 2.0 * half_arcsec / _FINE_PX
    field = {
        "size_px": _FINE_PX,
        "pixel_scale_arcsec": fine_arcsec,
        "lens_x_arcsec": scene["lens_x_arcsec"] - centre_arcsec[0],
        "lens_y_arcsec": scene["lens_y_arcsec"] - centre_arcsec[1],
    }
    light = reference_render(**(scene | field), supersampling=2, margin_px=0, with_psf=False).image[0]
    return np.asarray(light * (scene["pixel_scale_arcsec"] / fine_arcsec) ** 2, dtype=np.float64)


def draw_arc_without_seeing(axes: Axes, parts: StampParts) -> None:
    """Draw the arc before the seeing, with the critical curve and the images of the source's centre."""
    scene, deflector = parts.scene(), parts.deflector()
    curve = critical_curve(**deflector)
    centre = (deflector["lens_x_arcsec"], deflector["lens_y_arcsec"])
    spots = images(scene["src_x_arcsec"], scene["src_y_arcsec"], **deflector)
    outline = np.concatenate([curve, np.stack([spots.x_arcsec, spots.y_arcsec], axis=1)]) - centre
    # Radially an isothermal lens does not stretch: light reaches one source radius farther out.
    half_arcsec = 1.2 * (float(np.hypot(*outline.T).max()) + _light_radius_arcsec(parts))
    light = light_before_seeing(scene, half_arcsec, centre)
    show_sky(
        axes, rgb(own_stretch(light)[None])[0], half_arcsec, "Arc before the seeing", centre_arcsec=centre
    )
    axes.plot(*curve.T, color=CRITICAL, linewidth=1.0, label="critical curve")
    axes.plot(
        spots.x_arcsec,
        spots.y_arcsec,
        "+",
        color="white",
        markersize=7,
        label="images of the source's centre",
    )
    _legend(axes)


def draw_source_plane(axes: Axes, parts: StampParts) -> None:
    """Draw the unlensed source at its place, with the caustics of the deflector."""
    scene, deflector = parts.scene(), parts.deflector()
    curves = caustics(**deflector)
    centre = (deflector["lens_x_arcsec"], deflector["lens_y_arcsec"])
    source = (scene["src_x_arcsec"], scene["src_y_arcsec"])
    half_arcsec = 1.15 * max(
        float(np.abs(np.concatenate(curves) - centre).max()),
        float(np.hypot(*source)) + _light_radius_arcsec(parts),
    )
    light = light_before_seeing(scene | _NO_LENS, half_arcsec, centre)
    show_sky(axes, rgb(own_stretch(light)[None])[0], half_arcsec, "Source plane", centre_arcsec=centre)
    axes.plot(*curves.tangential.T, color=CRITICAL, linewidth=1.0, label="caustic")
    axes.plot(*curves.cut.T, color=CUT, linewidth=1.0, linestyle="--", label="cut")
    axes.plot(*centre, ".", color="white", markersize=4)
    _legend(axes)


def draw_source(axes: Axes, parts: StampParts) -> None:
    """Draw the unlensed source of a control's light, in the colours of that light."""
    assert parts.template is not None  # a control with light has a source
    flux = np.array([[parts.row[name] for name in per_band("arc_flux_{b}_nmgy")]])
    scene = {
        "templates": parts.template[None],
        "template_scale_arcsec": parts.template_scale_arcsec,
        "pixel_scale_arcsec": parts.pixel_scale_arcsec,
        "lens_x_arcsec": 0.0,
        "lens_y_arcsec": 0.0,
        "src_x_arcsec": 0.0,
        "src_y_arcsec": 0.0,
        "src_rotation_rad": parts.row["src_rotation_rad"],
        "src_flip": parts.row["src_flip"],
        "psf_fwhm_arcsec": np.array([[parts.row[name] for name in per_band("psf_fwhm_{b}_arcsec")]]),
        "flux_nmgy": np.maximum(flux, 0.0),
        **_NO_LENS,
    }
    half_arcsec = 1.3 * _light_radius_arcsec(parts)
    light = light_before_seeing(scene, half_arcsec, (0.0, 0.0))
    show_sky(axes, rgb(own_stretch(light)[None])[0], half_arcsec, "Its source, unlensed")


def write_caption(axes: Axes, parts: StampParts, verdict: str) -> None:
    """Write the parameters of the row: the lens, then one column per band."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    row, y = parts.row, 0.98
    for line in _sentences(row):
        axes.text(0.0, y, line, fontsize=8, va="top")
        y -= 0.072
    y -= 0.02
    for text, x in zip(BANDS, _BAND_X, strict=True):
        axes.text(x, y, text, fontsize=8, ha="right", va="top", fontweight="bold")
    y -= 0.072
    for label, columns, form in _PER_BAND:
        values = [row[name] for name in per_band(columns)]
        if all(value is None for value in values):
            continue
        axes.text(0.0, y, label, fontsize=8, va="top", color=MUTED)
        for x, value in zip(_BAND_X, values, strict=True):
            axes.text(
                x, y, NO_VALUE if value is None else format(value, form), fontsize=8, ha="right", va="top"
            )
        y -= 0.072
    if verdict:
        axes.text(0.0, y - 0.02, f"made again: {verdict}", fontsize=8, va="top", color=INK, wrap=True)


_NO_LENS = {"theta_e_arcsec": 0.0, "lens_q": 1.0, "lens_phi_rad": 0.0, "gamma1": 0.0, "gamma2": 0.0}

_BAND_X = (0.62, 0.81, 1.0)

_PER_BAND = (
    ("seeing FWHM [arcsec]", "psf_fwhm_{b}_arcsec", ".2f"),
    (r"depth, 5$\sigma$ [mag]", "psfdepth_{b}_mag", ".2f"),
    ("host [mag]", "host_mag_{b}", ".2f"),
    ("source, unlensed [mag]", "src_mag_{b}", ".2f"),
    ("light added [nMgy]", "arc_flux_{b}_nmgy", ".3f"),
    ("S/N in the footprint", "arc_snr_footprint_{b}", ".1f"),
    ("S/N, matched filter", "arc_snr_matched_{b}", ".1f"),
)


def _sentences(row: dict[str, Any]) -> Sequence[str]:
    """Return what is said once per row."""
    lines = [f"{row['experiment']}, tile {row['tile']}, {row['split']}"]
    if row["theta_e_arcsec"] is not None:
        angle_deg = np.degrees(row["lens_phi_rad"])
        source = f'({row["src_x_arcsec"]:+.2f}", {row["src_y_arcsec"]:+.2f}")'
        lines += [
            f'θ_E {row["theta_e_arcsec"]:.3f}"   q {row["lens_q"]:.3f}   φ {angle_deg:.0f}°',
            rf"shear $\gamma_1$ {row['gamma1']:+.3f}   $\gamma_2$ {row['gamma2']:+.3f}",
            f"source at {source}   μ {row['magnification']:.2f}",
        ]
    if row["source_id"] is not None:
        lines.append(f"source {row['source_id']}")
    if row["target_snr"] is not None:
        lines.append(f"flux chosen for S/N {row['target_snr']:.1f}, weight {row['sampling_weight']:.3g}")
    if row["light_quantile"] is not None:
        lines.append(f"at the {row['light_quantile']:.0%} radius of its twin's light")
    return lines


def _light_radius_arcsec(parts: StampParts) -> float:
    """Return the distance of the farthest template pixel that holds light from the template's centre."""
    assert parts.template is not None
    side = parts.template.shape[0]
    axis = np.arange(side) - (side - 1) / 2.0
    lit = parts.template > 0.02 * parts.template.max()
    return float(np.hypot(axis[:, None], axis[None, :])[lit].max() * parts.template_scale_arcsec)


def _bar_arcsec(half_arcsec: float) -> float:
    """Return the longest round length that is at most half of the picture's half side."""
    lengths = (10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1)
    return next((length for length in lengths if length <= 0.7 * half_arcsec), lengths[-1])


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper left", fontsize=7, labelcolor="white", handlelength=1.4, borderaxespad=0.3)
