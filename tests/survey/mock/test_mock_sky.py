"""The tree as a whole: files, formats, units, noise, catalogues, determinism."""

import csv
import json
import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from darkhaloscope.errors import ConfigError, DataError
from darkhaloscope.evaluation.anchors import exclusion_counts, read_anchor_catalog
from darkhaloscope.hashing import sha256_file
from darkhaloscope.survey import layout
from darkhaloscope.survey.bricks import read_footprint, status_counts
from darkhaloscope.survey.mock import MockSkyConfig, write_mock_sky
from darkhaloscope.survey.mock.conditions import draw_conditions
from darkhaloscope.survey.mock.geometry import plan_bricks
from darkhaloscope.survey.mock.known import catalogue_source, plan_objects
from darkhaloscope.survey.mock.listing import KNOWN_OBJECTS
from darkhaloscope.survey.mock.pixels import _add_drawn
from darkhaloscope.survey.mock.sky import RECORD, TRUTH
from darkhaloscope.survey.release import DR10_SOUTH, MASK_BITS
from darkhaloscope.survey.roots import open_root

SMALL = MockSkyConfig.tiny(
    n_bricks=2,
    n_pairs=0,
    hosts_per_brick=6,
    field_per_arcmin2=2.0,
    n_lenses=2,
    n_lookalikes=1,
    missing_band=None,
    zero_coverage=False,
)


def usable(config):
    return [b for b in plan_bricks(config) if b.kind == "ok"]


def plane(root, brick, product, band=None):
    with fits.open(root / layout.coadd_file(DR10_SOUTH, brick.name, product, band)) as hdus:
        return hdus[1].data.copy(), hdus[1].header.copy()


def sweep(root):
    files = layout.sweep_files(open_root(root), DR10_SOUTH)
    tables = [fits.getdata(root / f.relative, 1) for f in files]
    names = (
        "BRICKNAME",
        "TYPE",
        "RA",
        "DEC",
        "FLUX_R",
        "FLUX_IVAR_R",
        "MASKBITS",
        "PSFDEPTH_R",
        "FLUX_Z",
        "NOBS_Z",
    )
    return {name: np.concatenate([np.asarray(t[name]) for t in tables]) for name in names}


def sky_pixels(root, brick, band):
    """Image x sqrt(invvar) where no source of the brick is near."""
    image, header = plane(root, brick, "image", band)
    invvar, _ = plane(root, brick, "invvar", band)
    rows = sweep(root)
    wcs = WCS(header)
    empty = np.isfinite(image) & (invvar > 0)
    x, y = wcs.all_world2pix(rows["RA"], rows["DEC"], 0)
    near = (x > -90) & (x < image.shape[1] + 90) & (y > -90) & (y < image.shape[0] + 90)
    for px, py, flux in zip(x[near].astype(int), y[near].astype(int), rows["FLUX_R"][near], strict=True):
        reach = 25 if flux < 20 else 90
        empty[max(py - reach, 0) : max(py + reach, 0), max(px - reach, 0) : max(px + reach, 0)] = False
    return image.astype(float) * np.sqrt(np.maximum(invvar, 0)), empty


def test_planted_defects_are_what_the_reader_finds(sky, config):
    bricks = read_footprint(sky, DR10_SOUTH)
    assert status_counts(bricks) == {"missing image-z": 1, "no coverage": 1, "ok": config.n_bricks}
    image, _ = plane(sky, usable(config)[0], "image", "r")
    assert config.nan_pixels - 3 <= np.isnan(image).sum() <= config.nan_pixels
    rows = sweep(sky)
    broken = next(b for b in plan_bricks(config) if b.kind == "missing_band").name
    assert np.all(rows["FLUX_Z"][rows["BRICKNAME"] == broken] == 0)
    assert np.all(rows["NOBS_Z"][rows["BRICKNAME"] == broken] == 0)


def test_compression_is_that_of_dr10(sky, config):
    brick = usable(config)[0]
    expected = {
        ("image", "g"): ("RICE_1", "SUBTRACTIVE_DITHER_2"),
        ("invvar", "g"): ("RICE_1", "NO_DITHER"),
        ("psfsize", "g"): ("GZIP_1", "NO_DITHER"),
        ("maskbits", None): ("HCOMPRESS_1", None),
    }
    for (product, band), (kind, dither) in expected.items():
        path = sky / layout.coadd_file(DR10_SOUTH, brick.name, product, band)
        with fits.open(path, disable_image_compression=True) as hdus:
            header = hdus[1].header
            assert header["ZCMPTYPE"] == kind
            assert (header["ZTILE1"], header["ZTILE2"]) == (100, 100)
            if dither:
                assert header.get("ZQUANTIZ", "NO_DITHER") == dither
            if product == "image":
                assert np.unique(hdus[1].data["ZSCALE"]).tolist() == pytest.approx([1e-4])
    raw = (sky / layout.coadd_file(DR10_SOUTH, brick.name, "psfsize", "r")).read_bytes()
    times = [raw[i + 4 : i + 8] for i in range(len(raw)) if raw[i : i + 4] == b"\x1f\x8b\x08\x00"]
    assert len(times) >= 100
    assert set(times) == {bytes(4)}, "the hour of writing must not reach the bytes"
    with fits.open(sky / layout.coadd_file(DR10_SOUTH, brick.name, "maskbits")) as hdus:
        assert [h.name for h in hdus[1:]] == ["MASKBITS", "WISEM1", "WISEM2"]


def test_units_wcs_and_bands_are_in_the_headers(sky, config):
    brick = usable(config)[1]
    _, header = plane(sky, brick, "image", "z")
    assert (header["BUNIT"], header["BAND"], header["BRICK"]) == ("nanomaggy", "z", brick.name)
    ra, dec = WCS(header).all_pix2world((config.brick_px - 1) / 2, (config.brick_px - 1) / 2, 0)
    assert (float(ra), float(dec)) == pytest.approx((brick.ra, brick.dec), abs=1e-9)
    assert header["CD1_1"] < 0 < header["CD2_2"]


def test_noise_is_what_invvar_says_and_correlated(sky, config):
    for brick in usable(config)[:2]:
        scaled, empty = sky_pixels(sky, brick, "r")
        assert empty.sum() > 5000
        values = np.where(empty, scaled, np.nan)
        spread = 1.4826 * np.nanmedian(np.abs(values - np.nanmedian(values)))
        assert spread == pytest.approx(1.0, abs=0.08)
        clipped = np.where(np.abs(values) < 4, values, np.nan)
        lag = np.nanmean(clipped[:, 1:] * clipped[:, :-1]) / np.nanmean(clipped**2)
        assert 0.15 < lag < 0.45


def test_catalogue_flux_is_the_flux_of_the_pixels(sky, config):
    rows = sweep(sky)
    ratio, offset = [], []
    for brick in usable(config):
        image, header = plane(sky, brick, "image", "r")
        image = np.nan_to_num(image)
        mine = (rows["BRICKNAME"] == brick.name) & (rows["FLUX_R"] > 5) & (rows["FLUX_R"] < 60)
        mine &= rows["TYPE"] == "PSF"
        x, y = WCS(header).all_world2pix(rows["RA"][mine], rows["DEC"][mine], 0)
        for px, py, flux in zip(x, y, rows["FLUX_R"][mine], strict=True):
            left, bottom = int(px) - 12, int(py) - 12
            if min(left, bottom) < 0:
                continue
            box = image[bottom : bottom + 25, left : left + 25]
            yy, xx = np.indices(box.shape) + np.array([bottom, left])[:, None, None]
            light = np.where(np.hypot(xx - px, yy - py) < 9, box, 0.0)
            ratio.append(light.sum() / flux)
            offset.append([(light * xx).sum() / light.sum() - px, (light * yy).sum() / light.sum() - py])
    assert len(ratio) >= 5
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.median(offset, axis=0)).max() < 0.2


def test_depth_is_an_inverse_variance_in_sweeps_and_a_magnitude_in_the_table(sky):
    rows = sweep(sky)
    with fits.open(sky / DR10_SOUTH.brick_summary) as hdus:
        table = hdus[1].data
        for name, depth in zip(table["brickname"], table["psfdepth_r"], strict=True):
            ivar = rows["PSFDEPTH_R"][(rows["BRICKNAME"] == name) & (rows["PSFDEPTH_R"] > 0)]
            if not len(ivar):
                assert depth == 0
                continue
            assert 22 < depth < 27
            assert depth == pytest.approx(22.5 - 2.5 * np.log10(5 / np.sqrt(np.median(ivar))), abs=0.01)


def test_masks_agree_with_invvar_and_box(sky, config):
    for brick in usable(config):
        masks, header = plane(sky, brick, "maskbits")
        invvar, _ = plane(sky, brick, "invvar", "r")
        image, _ = plane(sky, brick, "image", "r")
        marked = (masks & (1 << MASK_BITS["ALLMASK_R"])) > 0
        assert np.array_equal(marked, invvar == 0)
        assert np.all(np.nan_to_num(image[marked]) == 0)
        outside = (masks & (1 << MASK_BITS["NPRIMARY"])) > 0
        ra, dec = WCS(header).all_pix2world([480, 2], [480, 480], 0)
        assert [bool(outside[480, 480]), bool(outside[480, 2])] == [
            not brick.contains(ra[i], dec[i]) for i in (0, 1)
        ]


def test_overlapping_stacks_show_the_same_galaxies(sky, config):
    west, east = next(
        (a, b)
        for a in usable(config)
        for b in usable(config)
        if 0 < b.ra - a.ra < 1.5 * a.side_deg and a.dec == b.dec
    )
    stacks = [(*plane(sky, b, "image", "z"), plane(sky, b, "invvar", "z")[0]) for b in (west, east)]
    rows = sweep(sky)
    near = np.abs(rows["RA"] - west.bounds_deg[1]) < 0.004
    ratios = []
    for ra, dec, flux in zip(rows["RA"][near], rows["DEC"][near], rows["FLUX_Z"][near], strict=True):
        sums = []
        for image, header, invvar in stacks:
            x, y = (int(np.rint(v)) for v in WCS(header).all_world2pix(ra, dec, 0))
            if not (9 <= x < image.shape[1] - 9 and 9 <= y < image.shape[0] - 9):
                break
            window = np.s_[y - 8 : y + 9, x - 8 : x + 9]
            if (invvar[window] == 0.0).any():
                break
            # Each stack has its own seeing, and keeps a residual sky of its own.
            sums.append(float((image[window] - np.nanmedian(image)).sum()))
        if len(sums) == 2 and flux > 8:
            ratios.append(sums[0] / sums[1])
    # Most, not all: the wings of a bright star beside a galaxy differ with the seeing of the stack.
    assert len(ratios) >= 4
    assert np.median(np.abs(np.array(ratios) - 1.0)) < 0.06
    assert np.mean(np.abs(np.array(ratios) - 1.0) < 0.12) > 0.7


def test_known_objects_are_read_as_anchors(sky, config):
    anchors = read_anchor_catalog(sky / KNOWN_OBJECTS, release=DR10_SOUTH)
    counts = exclusion_counts(anchors)
    assert counts["quasar"] == counts["cluster"] == counts["duplicate"] == 1
    classes = anchors["object_class"].to_pylist()
    for kind in ("ring", "spiral", "merger", "edge-on"):
        assert classes.count(kind) == config.n_lookalikes
    # The lenses, and the two rows that only their pixels betray: 30 arcsec off, and a star.
    lenses = [
        u for u, k in zip(anchors["use"].to_pylist(), anchors["kind"].to_pylist(), strict=True) if k == "lens"
    ]
    assert lenses.count("grade") == config.n_lenses + 2
    assert {"imaging", "network", "spectroscopic"} <= set(anchors["discovery"].to_pylist())


def test_every_known_object_has_a_catalogued_galaxy_and_bad_rows_have_none(sky):
    rows = sweep(sky)
    galaxies = rows["TYPE"] != "PSF"
    with open(sky / KNOWN_OBJECTS) as handle:
        known = list(csv.DictReader(handle))
    for entry in known:
        ra, dec = float(entry["RA [deg]"]), float(entry["DEC [deg]"])
        separation = np.hypot((rows["RA"] - ra) * np.cos(np.deg2rad(dec)), rows["DEC"] - dec) * 3600
        bad = "misplaced" in entry["name"] or "star" in entry["name"] or "quasar" in entry["name"]
        assert (separation[galaxies].min() > 1.0) == bad, entry["name"]


def test_catalogued_ellipticity_points_along_the_galaxy(sky, config):
    """Position angles run from north to east, and east is to the left."""
    with open(sky / TRUTH) as handle:
        discs = [row for row in csv.DictReader(handle) if row["kind"] == "edge-on"]
    tables = [fits.getdata(sky / f.relative, 1) for f in layout.sweep_files(open_root(sky), DR10_SOUTH)]
    column = {
        name: np.concatenate([np.asarray(t[name]) for t in tables])
        for name in ("RA", "DEC", "SHAPE_E1", "SHAPE_E2")
    }
    assert len(discs) == config.n_lookalikes
    for disc in discs:
        ra, dec = float(disc["ra"]), float(disc["dec"])
        row = int(np.argmin(np.hypot(column["RA"] - ra, column["DEC"] - dec)))
        e1, e2 = (float(column[name][row]) for name in ("SHAPE_E1", "SHAPE_E2"))
        brick = next(b for b in usable(config) if b.name == disc["brickname"])
        image, header = plane(sky, brick, "image", "r")
        x, y = WCS(header).all_world2pix(ra, dec, 0)
        yy, xx = np.indices(image.shape)
        weight = np.nan_to_num(image) * np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / 8.0**2)
        east, north = x - xx, yy - y
        moments = [(weight * v).sum() for v in (north**2 - east**2, 2 * north * east)]
        seen = np.arctan2(moments[1], moments[0]) / 2
        told = np.arctan2(e2, e1) / 2
        assert abs((seen - told + np.pi / 2) % np.pi - np.pi / 2) < 0.15
        assert np.hypot(e1, e2) > 0.5


def test_arcs_have_the_recorded_signal(config):
    """The footprint S/N of the light added at a lens, measured on it alone."""
    bricks = usable(config)
    lenses = [o for o in plan_objects(config, bricks) if o.kind == "lens"]
    for lens in lenses[:3]:
        brick = next(b for b in bricks if b.brickid == lens.brickid)
        source = catalogue_source(config, lens, np.array([brick.ra, brick.dec]))
        conditions = draw_conditions(config, brick)
        light = np.zeros((3, 960, 960), dtype=np.float32)
        facts, _ = _add_drawn(config, lens, source, light, conditions, 480.3, 300.8)
        arc = light[1].astype(float)
        band = conditions.bands["r"]
        invvar = band.invvar_per_exposure * band.nexp_at(np.array([480.0]), np.array([301.0]))[0]
        footprint = arc > 0.1 * arc.max()
        snr = arc[footprint].sum() * np.sqrt(invvar / footprint.sum())
        assert snr == pytest.approx(facts["arc_snr_footprint_r"], rel=1e-3)
        assert 22.5 - 2.5 * np.log10(arc.sum()) == pytest.approx(facts["arc_mag_r"], abs=1e-3)
        assert facts["magnification"] > 1.5
        rows, columns = np.indices(arc.shape)
        reach = np.hypot(columns - 480.3, rows - 300.8) * 0.262
        assert 0.5 < (arc * reach).sum() / arc.sum() / facts["theta_e_arcsec"] < 1.8


def test_bytes_do_not_depend_on_workers_or_on_the_run(tmp_path):
    hashes = []
    for workers in (1, 2):
        root = tmp_path / str(workers)
        result = write_mock_sky(root, SMALL, workers=workers)
        record = json.loads((root / RECORD).read_text())
        assert record["sha256"] == {name: sha256_file(root / name) for name in record["sha256"]}
        hashes.append((result["content_hash"], record["sha256"]))
    assert hashes[0] == hashes[1]
    again = write_mock_sky(tmp_path / "1", SMALL, workers=1)
    assert again["reused"]
    other = write_mock_sky(tmp_path / "1", MockSkyConfig.from_dict({**SMALL.as_dict(), "seed": 3}), workers=1)
    assert not other["reused"]
    assert other["content_hash"] != hashes[0][0]


def test_an_unfinished_tree_is_written_again_and_foreign_files_are_kept(sky, tmp_path):
    root = tmp_path / "sky"
    first = write_mock_sky(root, SMALL, workers=1)
    record = json.loads((root / RECORD).read_text())
    (root / RECORD).write_text(json.dumps({**record, "request": "", "sha256": {}}))
    shutil.rmtree(root / "south" / "sweep")
    assert write_mock_sky(root, SMALL, workers=1)["content_hash"] == first["content_hash"]
    (root / "south" / "coadd" / "mine.txt").write_text("kept")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "survey-bricks.fits.gz").write_bytes(b"real")
    with pytest.raises(DataError, match="other files"):
        write_mock_sky(foreign, SMALL, workers=1)
    assert (foreign / "survey-bricks.fits.gz").read_bytes() == b"real"


def test_more_objects_than_room_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="do not fit"):
        write_mock_sky(tmp_path / "x", MockSkyConfig.tiny(n_lenses=90), workers=1)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_brick_of_dr10_size(tmp_path):
    config = MockSkyConfig(
        n_bricks=1,
        n_pairs=0,
        brick_px=3600,
        brick_side_deg=0.25,
        hosts_per_brick=75,
        n_lenses=3,
        n_lookalikes=1,
        missing_band=None,
        zero_coverage=False,
    )
    write_mock_sky(tmp_path, config, workers=1)
    bricks = read_footprint(tmp_path, DR10_SOUTH)
    assert status_counts(bricks) == {"ok": 1}
    image, _ = plane(tmp_path, usable(config)[0], "image", "r")
    assert image.shape == (3600, 3600)
