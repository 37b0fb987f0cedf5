"""Real COSMOS galaxies behind deflectors: images at the error budget, and the flux that reaches the stamp.

Magnifications are lenstronomy's, from rays that know no PSF and no stamp: the
renderer does not grade itself. Real templates carry pixel noise of both signs.
"""

import dataclasses

import numpy as np
import oracle_lenstronomy
import oracle_scenes
import pyarrow.compute as pc
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.schema import per_band
from darkhaloscope.sources import open_sources
from darkhaloscope.sources.bank import build_bank
from darkhaloscope.sources.selection import BankLimits

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def bank_path(realdata, tmp_path_factory):
    path = tmp_path_factory.mktemp("real") / "bank.h5"
    # All ten: one of them has a quarter of its light outside the box.
    limits = BankLimits(min_flux_fraction=0.7)
    build_bank(realdata / "cosmos_23.5_sample", path, max_galaxies=None, seed=1, limits=limits)
    return path


@pytest.fixture(scope="module")
def templates(bank_path):
    with open_sources("cosmos", bank_path) as bank:
        return bank.templates(np.arange(len(bank)))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def scenes(templates, seeds=(31,)):
    """Every galaxy once per seed, behind a deflector of its own."""
    return [
        oracle_scenes.scene(
            np.random.Generator(np.random.Philox(key=[seed, number])), templates=template[None]
        )
        for seed in seeds
        for number, template in enumerate(templates)
    ]


def test_the_galaxies_are_real(templates):
    assert templates.shape == (10, 96, 96)
    np.testing.assert_allclose(templates.sum(axis=(1, 2)), 1.0, atol=1e-5)
    negative = -np.minimum(templates, 0.0).sum(axis=(1, 2))
    assert negative.min() > 0.002
    assert negative.max() > 0.02


def test_default_quality_keeps_the_budget(templates):
    chosen = scenes(templates)
    images = [render_lensed(**scene).image[0] for scene in chosen]
    oracle_scenes.check(chosen, images, [oracle_lenstronomy.truth(scene) for scene in chosen])


@pytest.mark.slow
def test_default_quality_keeps_the_budget_over_many_scenes(templates):
    chosen = scenes(templates, seeds=range(32, 42))
    images = [render_lensed(**scene).image[0] for scene in chosen]
    oracle_scenes.check(chosen, images, [oracle_lenstronomy.truth(scene) for scene in chosen])


def test_flux_on_the_stamp_is_the_oracles_magnification(templates):
    """A source of magnitude 22.5 has 1 nMgy: lensed by mu it brings mu nMgy."""
    for scene in scenes(templates):
        seen = {"flux_nmgy": np.ones((1, 2)), "psf_fwhm_arcsec": np.array([[1.0, 1.4]]), "size_px": 101}
        expected = oracle_lenstronomy.magnification(scene)
        rendered = render_lensed(**(scene | seen))
        np.testing.assert_allclose(rendered.image[0].sum(axis=(1, 2)), expected, rtol=0.01)
        assert rendered.magnification[0] == pytest.approx(expected, rel=0.01)


def positives(bank_path, number):
    """Rows of a manifest drawn with the real bank, their arcs well inside a stamp of 8.4 arcsec half side."""
    rows = stamp_world.manifest_of(stamp_world.experiment(), bank_path)
    small = pc.and_(pc.less(rows["theta_e_arcsec"], 1.5), pc.equal(rows["control_kind"], "positive"))
    chosen = rows.filter(small).slice(0, number)
    assert chosen.num_rows == number
    return stamp_world.replace(chosen, src_mag_r=[22.5] * number)


def stamps_of(world, bank_path, rows):
    quiet = stamp_world.experiment(noise={"arc_shot_noise": False})
    made = stamp_world.stamps_of(dataclasses.replace(world, bank_path=bank_path), rows, chosen=quiet)
    assert set(made["status"].to_pylist()) == {"ok"}
    return made


def test_flux_added_to_a_host_is_the_oracles_magnification(bank_path, world):
    """The same through manifest, bank and host, as a stored row records it."""
    rows = positives(bank_path, 8)
    made = stamps_of(world, bank_path, rows)
    with open_sources("cosmos", bank_path) as bank:
        for row, flux in zip(rows.to_pylist(), made["arc_flux_r_nmgy"].to_pylist(), strict=True):
            template = bank.templates([bank.index_of(row["source_id"])])
            behind = {"templates": template, "template_scale_arcsec": bank.pixel_scale_arcsec}
            assert flux == pytest.approx(oracle_lenstronomy.magnification(row | behind), rel=0.01)


def test_stamp_minus_host_is_the_oracles_arc(bank_path, world):
    """Every pixel of every band, about the true place of the host galaxy between pixels."""
    rows = positives(bank_path, 3)
    dark = stamp_world.replace(rows, **{name: [99.0] * 3 for name in per_band("src_mag_{b}")})
    made = stamps_of(world, bank_path, rows)
    added = tabular.pixels(made, "image") - tabular.pixels(stamps_of(world, bank_path, dark), "image")
    for row, image in zip(made.drop_columns(["image", "invvar", "maskbits"]).to_pylist(), added, strict=True):
        assert abs(row["x_offset_px"]) + abs(row["y_offset_px"]) > 0.1
        with open_sources("cosmos", bank_path) as bank:
            template = bank.templates([bank.index_of(row["source_id"])])
        scene = row | {
            "templates": template,
            "template_scale_arcsec": oracle_scenes.TEMPLATE_SCALE_ARCSEC,
            "pixel_scale_arcsec": oracle_scenes.PX_ARCSEC,
            "size_px": image.shape[-1],
            "lens_x_arcsec": row["lens_x_arcsec"] + row["x_offset_px"] * oracle_scenes.PX_ARCSEC,
            "lens_y_arcsec": row["lens_y_arcsec"] + row["y_offset_px"] * oracle_scenes.PX_ARCSEC,
            "psf_fwhm_arcsec": np.array([[row[name] for name in per_band("psf_fwhm_{b}_arcsec")]]),
            "flux_nmgy": 10 ** (0.4 * (22.5 - np.array([[row[name] for name in per_band("src_mag_{b}")]]))),
        }
        worst, _, centroid = oracle_scenes.errors(image, oracle_lenstronomy.truth(scene, margin_px=8))
        assert worst.max() < oracle_scenes.WORST_PIXEL
        assert centroid.max() < oracle_scenes.CENTROID_PX
