"""L94: positives and controls were different populations of galaxies."""

import dataclasses

import numpy as np
import pytest
import stamp_world

N = 1500


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def many_hosts():
    """Hosts without pixels whose magnitude, seeing and depth go with their brick, as on the sky."""
    rng = np.random.Generator(np.random.Philox(key=5))
    template = stamp_world.metadata(stamp_world.hosts())
    table = template.take(rng.integers(0, template.num_rows, N))
    brick = np.asarray(table["brickname"].to_pylist())
    trend = {name: rng.normal() for name in sorted(set(brick.tolist()))}
    shift = np.array([trend[name] for name in brick])
    columns = {"host_id": [f"10000-1-{i}" for i in range(N)]}
    for band in "grz":
        columns[f"host_mag_{band}"] = rng.normal(19.5, 0.6, N) + 0.3 * shift
        columns[f"psf_fwhm_{band}_arcsec"] = np.clip(1.3 + 0.12 * shift + rng.normal(0, 0.02, N), 0.9, 2.0)
        columns[f"psfdepth_{band}_mag"] = 23.5 + 0.2 * shift + rng.normal(0, 0.02, N)
    return stamp_world.replace(table, **columns)


@pytest.mark.parametrize(
    "controls", [{}, {"unpaired_fraction": 0.5, "paired": False, "matched_light": False}]
)
def test_hosts_of_positives_and_of_controls_are_alike(world, controls, monkeypatch):
    monkeypatch.setattr(stamp_world, "metadata", lambda table: table)
    profile = dataclasses.replace(stamp_world.PROFILE, unit_hosts=200)
    rows = stamp_world.manifest_of(
        stamp_world.experiment(controls=controls), world.bank_path, host_table=many_hosts(), profile=profile
    )
    positive = stamp_world.of_kind(rows, "positive")
    for kind in sorted(set(rows["control_kind"].to_pylist()) - {"positive"}):
        other = stamp_world.of_kind(rows, kind)
        for name in ("host_mag_r", "psf_fwhm_r_arcsec", "psfdepth_r_mag"):
            a, b = positive[name].to_numpy(), other[name].to_numpy()
            # Roles drawn without blocks scatter by 0.05 here; the limit of gate Q1 is 0.05.
            effect = (a.mean() - b.mean()) / np.sqrt(0.5 * (a.var() + b.var()))
            assert abs(effect) < (0.02 if name == "host_mag_r" else 0.035), (kind, name)
