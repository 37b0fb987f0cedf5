"""A data set whose Einstein radii follow from its galaxies, from manifest to stamps."""

import numpy as np
import pyarrow.compute as pc
import pytest
import stamp_world

from darkhaloscope.errors import ConfigError
from darkhaloscope.lensing import cosmology as cosmo
from darkhaloscope.schema import MANIFEST, Role
from darkhaloscope.sources import open_sources
from darkhaloscope.sources.colours import describe_galaxies
from darkhaloscope.stamps import draws, roles
from darkhaloscope.stamps.deflectors import LensPopulation
from darkhaloscope.stamps.manifest import host_use

LENS = {
    "theta_e_draw": "population",
    "theta_e_arcsec": (0.6, 3.0),
    "deflectors": {"min_source_share": 0.8},
}
SOURCES = {"colours": "galaxy", "dimming_mag": (0.0, 0.0)}


@pytest.fixture(scope="module")
def chosen():
    return stamp_world.experiment(lens=LENS, sources=SOURCES)


@pytest.fixture(scope="module")
def built(tmp_path_factory, chosen):
    folder = tmp_path_factory.mktemp("population")
    return stamp_world.build(folder, chosen, stamp_world.bank(folder))


@pytest.fixture(scope="module")
def galaxies(built, chosen):
    with open_sources("cosmos", built.bank_path) as library:
        found = describe_galaxies(chosen.sources, library, chosen.seed)
        return {name: [values[i] for values in found] for i, name in enumerate(library.ids.tolist())}, dict(
            zip(library.ids.tolist(), library.mag_f814w.tolist(), strict=True)
        )


def test_positives_obey_the_lens_equation_of_their_redshifts(built, chosen):
    positive = stamp_world.of_kind(built.table("manifest"), "positive")
    z_lens, z_source, sigma, theta = (
        positive[name].to_numpy() for name in ("z_lens", "z_source", "sigma_v_kms", "theta_e_arcsec")
    )
    assert len(theta) > 20
    assert (z_source > z_lens).all()
    assert theta.min() >= 0.6 - 1e-9
    assert theta.max() <= 3.0 + 1e-9
    universe = cosmo.flat_lambda_cdm(70.0, 0.3)
    np.testing.assert_allclose(cosmo.einstein_radius_arcsec(sigma, z_lens, z_source, universe), theta)
    offset = np.hypot(positive["src_x_arcsec"].to_numpy(), positive["src_y_arcsec"].to_numpy())
    assert (offset <= chosen.lens.source_offset_max * theta).all()


def test_magnitude_redshift_and_colours_are_of_one_galaxy(built, galaxies):
    known, mag_f814w = galaxies
    for row in stamp_world.of_kind(built.table("manifest"), "positive").to_pylist():
        z, g_r, r_z = known[row["source_id"]]
        assert row["z_source"] == z
        assert row["src_mag_g"] - row["src_mag_r"] == pytest.approx(g_r, abs=1e-9)
        assert row["src_mag_r"] - row["src_mag_z"] == pytest.approx(r_z, abs=1e-9)
        assert row["src_mag_r"] == pytest.approx(mag_f814w[row["source_id"]] + 0.617 * r_z, abs=0.01)


def test_hosts_that_cannot_be_lenses_are_in_no_class(built, chosen, galaxies):
    table = stamp_world.metadata(stamp_world.hosts())
    with open_sources("cosmos", built.bank_path) as library:
        population = LensPopulation.of(
            chosen, table, library, describe_galaxies(chosen.sources, library, chosen.seed)
        )
    split = stamp_world.split_map().of(table["ra"].to_numpy(), table["dec"].to_numpy())
    unfit = population.unfit(split)
    assert 0 < unfit.sum() < 0.8 * table.num_rows
    use = roles.classify_hosts(
        chosen,
        stamp_world.PROFILE,
        hosts=table,
        splits=stamp_world.split_map(),
        anchors=None,
        unfit=population.unfit,
    )
    assert use.counts()["no_einstein_radius"] == unfit.sum()
    made = stamp_world.manifest_of(chosen, built.bank_path)
    assert host_use(made) == use.counts(), "the manifest says how many and why"
    out = set(np.array(table["host_id"].to_pylist())[unfit])
    assert not out & set(built.table("manifest")["host_id"].to_pylist())


def test_controls_have_no_lens_and_light_keeps_its_galaxy(built):
    rows = built.table("manifest").to_pylist()
    positive = {row["task_id"]: row for row in rows if row["control_kind"] == "positive"}
    truth = set(MANIFEST.names(Role.TRUTH))
    for row in rows:
        if row["control_kind"] in {"paired", "unpaired"}:
            assert all(row[name] is None for name in truth)
        if row["control_kind"] == "matched_light":
            assert row["z_source"] == positive[row["twin_task_id"]]["z_source"]
            assert all(row[name] is None for name in ("z_lens", "sigma_v_kms", "lens_weight"))


def test_the_weight_of_a_lens_is_that_of_its_stamps_and_of_its_light(built):
    stamps = built.table("stamps", ["task_id", "twin_task_id", "control_kind", "sampling_weight"])
    weight = dict(
        zip(*(built.table("manifest")[name].to_pylist() for name in ("task_id", "lens_weight")), strict=True)
    )
    seen = {"positive": 0, "matched_light": 0, "paired": 0, "unpaired": 0}
    for row in stamps.filter(pc.is_valid(stamps["sampling_weight"])).to_pylist():
        seen[row["control_kind"]] += 1
        of = {"positive": row["task_id"], "matched_light": row["twin_task_id"]}.get(row["control_kind"])
        assert row["sampling_weight"] == (1.0 if of is None else weight[of])
    assert all(seen.values())
    assert len({w for w in weight.values() if w is not None}) > 20


def test_another_order_of_hosts_draws_the_same_manifest(built, chosen):
    backwards = stamp_world.hosts().take(np.arange(stamp_world.hosts().num_rows)[::-1])
    again = stamp_world.manifest_of(chosen, built.bank_path, host_table=backwards)
    assert again.equals(built.table("manifest"))


def test_population_radii_are_not_drawn_without_a_population(chosen):
    with pytest.raises(ConfigError, match="follow from lens and source"):
        draws.draw_lens(chosen.lens, ["a"], 1)
