"""The report page: all experiments first, then each with its evidence.

Made from the summary and the figures of committed artefacts alone, as one file
that needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkhaloscope.artifacts import ArtifactStore, atomic_path
from darkhaloscope.evaluation.cutouts import read_cutouts
from darkhaloscope.reports import figures as draw
from darkhaloscope.reports import html_parts as h
from darkhaloscope.reports.experiment_page import experiment_section, stamp_picture
from darkhaloscope.reports.stamps_rgb import picture_sheet
from darkhaloscope.survey.release import get_release

PAGE_NAME = "index.html"


def write_report(
    summary: Mapping[str, Any], store: ArtifactStore, directory: str | Path, *, cutouts: Path | None = None
) -> Path:
    """Write ``index.html`` and the figures it embeds.

    Parameters
    ----------
    summary : dict
        From :func:`~darkhaloscope.reports.summary.build_summary`.
    store : ArtifactStore
        For figures of artefacts.
    directory : path
        Replaced file by file.
    cutouts : path, optional
        Folder of the real cutouts that were scored, for their picture.

    Returns
    -------
    Path
        The page.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    names = list(summary["order"])
    links = [("overview", "Overview"), *((name, name) for name in names), ("run", "The run")]
    body = [
        _header(summary),
        "<nav>" + "".join(f'<a href="#{key}">{h.text(label)}</a>' for key, label in links) + "</nav>",
        '<h2 id="overview">All experiments</h2>',
        _overview(summary),
        _comparison(summary, directory),
        _sky(store),
        _real_cutouts(summary, store, directory, cutouts),
        *(experiment_section(name, summary["experiments"][name], store, directory) for name in names),
        _run(summary),
    ]
    target = directory / PAGE_NAME
    with atomic_path(target) as temporary:
        temporary.write_text(h.page("Dark Halo Scope: report", body), encoding="utf-8")
    return target


def _header(summary: Mapping[str, Any]) -> str:
    sky, footprint = summary["sky"], summary["sky"]["footprint"]
    hosts = sky["hosts"].get("ok", 0)
    items = [
        (str(len(summary["order"])), "experiments"),
        (f"{hosts:,}", "host galaxies with pixels"),
        (str(len(sky["tiles"])), "sky tiles"),
    ]
    if footprint is not None and "area_deg2" in footprint["summary"]:
        items.append((f"{footprint['summary']['area_deg2']:.2f} deg²", "usable sky"))
    items += [
        (_duration(summary["seconds"]), "wall time"),
        (f"{summary['peak_mb'] / 1024:.1f} GB", "peak memory"),
    ]
    return (
        "<header><h1>Dark Halo Scope</h1>"
        "<p>Strong-lens finders and the lenses they would have found. "
        f"Profile {h.text(summary['profile']['name'])}; "
        "every number on this page is read from the run's records.</p></header>" + h.facts(items)
    )


def _overview(summary: Mapping[str, Any]) -> str:
    rows = []
    for name in summary["order"]:
        one = summary["experiments"][name]
        graded = one["evaluation"]
        counts = one["gate_counts"]
        words = (("fail", "failed"), ("deferred", "deferred"), ("waived", "waived"), ("pass", "passed"))
        chips = "".join(
            h.chip(status, f"{counts[status]} {word}") for status, word in words if counts.get(status)
        )
        row = [
            h.stacked(f'<a href="#{h.text(name)}"><b>{h.text(name)}</b></a>', one["title"], wrap=True),
            chips or h.chip("quiet", "not run"),
        ]
        if graded is None:
            row += [f'<span class="small">{h.text(one["state"])}</span>'] + ["-"] * 4
        else:
            row += [
                h.interval_cell(graded["test"]["auc"]),
                h.rate_cell(graded["test"]["recall"]),
                h.rate_cell(graded["recall"]["A"]),
                h.rate_cell(graded["recall"]["B"]),
                h.rate_cell(graded["contamination_all"]),
            ]
        rows.append(row)
    waived = [
        f"<li><b>{h.text(name)}</b>: {h.text(result['gate'])} {h.text(result['title'])}: "
        f"{h.text(result['waiver']['reason'])}</li>"
        for name in summary["order"]
        for result in summary["experiments"][name]["gates"]
        if result["waiver"]
    ]
    note = (
        '<p class="note">Rates carry their counts and 95 % Clopper-Pearson intervals; AUC intervals are '
        "bootstrapped over host galaxies. Every rate is taken at the threshold frozen on test galaxies to "
        "which nothing was added. Tier A: found in ground-based images, arc visible above the noise once the "
        "deflector is subtracted. Tier B: all other known lenses, a stress test. The tiers are never "
        "pooled.</p>"
    )
    warning = (
        '<div class="card warn"><b>Read with care: gates were waived.</b><ul>'
        + "".join(dict.fromkeys(waived))
        + "</ul></div>"
        if waived
        else ""
    )
    columns = (
        "experiment",
        "gates",
        "AUC on test",
        "injections found",
        "recall, Tier A",
        "recall, Tier B",
        "look-alikes called lenses",
    )
    return h.table(columns, rows) + note + warning


def _comparison(summary: Mapping[str, Any], directory: Path) -> str:
    comparison = summary["comparison"]
    parts = ["<h3>Side by side</h3>"]
    if any(row["graded"] for row in comparison["models"]):
        path = draw.comparison_figure(comparison, directory / "comparison.png")
        parts.append(
            h.figures(
                [
                    h.picture(
                        path,
                        "Points with 95 % intervals; the same real objects for every model."
                        if comparison["same_objects"]
                        else "Points with 95 % intervals. The models were graded on different real objects.",
                        wide=True,
                    )
                ]
            )
        )
    for entry in comparison["differences"]:
        if not entry["choices"]:
            continue
        rows = [
            [f"<code>{h.text(key)}</code>", h.text(first), h.text(second)]
            for key, (first, second) in entry["choices"].items()
        ]
        table = h.table(("choice", entry["first"], entry["second"]), rows)
        count = len(rows)
        told = (
            f"{count} choice{'s' if count != 1 else ''} differ between {entry['first']} and {entry['second']}"
        )
        if not entry["attributable"]:
            told += ": a difference in results belongs to all of them together"
        parts.append(h.folded(told, table))
    return "\n".join(parts)


def _sky(store: ArtifactStore) -> str:
    if not store.has("sky_splits"):
        return ""
    record = store.record("sky_splits")
    told = (
        "The division of the sky as it is published: a cell never changes sides. "
        "Train and val galaxies in the guard band are not used."
    )
    pictures = [h.picture(path, told, wide=True) for path in store.paths(record, ".png")]
    return "<h3>Train, val and test on the sky</h3>" + h.figures(pictures)


def _real_cutouts(
    summary: Mapping[str, Any], store: ArtifactStore, directory: Path, cutouts: Path | None
) -> str:
    scored = {
        name: summary["experiments"][name]["cutouts"]
        for name in summary["order"]
        if summary["experiments"][name]["cutouts"]
    }
    if cutouts is None or not scored:
        return ""
    first = next(iter(scored))
    release = get_release(summary["experiments"][first]["config"]["survey"]["release"])
    real = read_cutouts(cutouts, release=release, size_px=int(summary["profile"]["stamp_px"]))
    path = picture_sheet(real.images, real.ids, directory / "real_cutouts.png", columns=6)
    rows = []
    for index, identity in enumerate(real.ids):
        cells = [h.text(identity)]
        for items in scored.values():
            item = items[index]
            cells.append(
                f'<span class="big">{item["score"]:.3f}</span><span class="small">'
                f"{item['score_lowest']:.3f} to {item['score_highest']:.3f} over the seeing assumed</span>"
            )
        rows.append(cells)
    injected = [
        stamp_picture(name, store, directory, f"Injected and control stamps of {name}, the same stretch")
        for name in scored
    ]
    return (
        "<h3>Real cutouts beside injected stamps</h3>"
        '<p class="note">These cutouts came without inverse variance and PSF: depth is measured from '
        "their sky, seeing is assumed and varied. They are single objects, not a sample.</p>"
        + h.figures(
            [h.picture(path, "Real cutouts, colours as in the survey's viewer", wide=True), *injected]
        )
        + h.table(("object", *(f"score, {name}" for name in scored)), rows)
    )


def _run(summary: Mapping[str, Any]) -> str:
    steps = [
        [
            h.text(step["job"]),
            h.text(step["partition"]),
            h.chip("pass", "ok") if step["success"] else h.chip("fail", "failed"),
            f"{step['seconds']:.1f}",
            f"{step['peak_mb']:.0f}",
            h.text(step.get("error", "")),
        ]
        for step in summary["steps"]
    ]
    hashes = [
        [h.text(name), h.text(kind), f"<code>{h.text(value)}</code>"]
        for name in summary["order"]
        for kind, value in _flat_hashes(summary["experiments"][name]["hashes"])
    ]
    return (
        '<h2 id="run">The run</h2>'
        + h.table(("job", "partition", "result", "seconds", "peak MB", "error"), steps, numeric=(3, 4))
        + h.folded("Content hashes", h.table(("experiment", "artefact", "sha256"), hashes))
    )


def _flat_hashes(hashes: Mapping[str, Any]) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for kind, value in hashes.items():
        if isinstance(value, Mapping):
            flat += [(f"{kind}/{tile}", content) for tile, content in value.items()]
        elif value is not None:
            flat.append((kind, value))
    return flat


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
