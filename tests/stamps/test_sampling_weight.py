"""The weight of a chosen flux brings the sample back to the prior: magnitudes, and what goes with them."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import stamp_world

from darkhaloscope.schema import per_band
from darkhaloscope.sources.population import draw_source_magnitudes
from darkhaloscope.stamps import draws
from darkhaloscope.stamps.chosen_flux import choose_flux
from darkhaloscope.stamps.flux_target import footprint_sums

N, SIZE, SIGMA_NMGY, SKY_NMGY = 6000, 11, 0.02, 0.3
TASKS = [f"task-{i}" for i in range(N)]
NARROW = {"mode": "choose_flux", "low": 3.0, "high": 30.0}
WIDE = {"mode": "choose_flux", "low": 1e-3, "high": 1e5, "mag_r_range": (-5.0, 50.0)}
TABLE = {"mode": "choose_flux", "target": "table"}


class Catalogue:
    """Galaxies with steep counts; the brighter ones are larger, as on the sky."""

    def __init__(self):
        rng = np.random.Generator(np.random.Philox(key=21))
        self.mag_f814w = 23.5 + np.log10(rng.uniform(0.03, 1.0, N)) / 0.5
        self.size_px = 1.2 + 0.4 * (23.5 - self.mag_f814w) * rng.uniform(0.5, 1.5, N)

    def index_of(self, source_id):
        return int(source_id)


class Sample:
    """Scenes of uneven depth and magnification: as the prior has them, and with the flux chosen."""

    def __init__(self, targeting, photons, seed):
        rng = np.random.Generator(np.random.Philox(key=seed))
        self.experiment = stamp_world.experiment(
            snr_targeting=targeting, noise={"arc_shot_noise": photons}, sources={"dimming_mag": (0.0, 2.0)}
        )
        catalogue, chosen = Catalogue(), self.experiment
        self.size_px = catalogue.size_px
        drawn = draw_source_magnitudes(
            chosen.sources,
            mag_f814w=catalogue.mag_f814w,
            host_mag_r=np.full(N, 19.0),
            ids=TASKS,
            seed=seed,
        )
        flux = 10.0 ** (0.4 * (22.5 - drawn)) * rng.uniform(1.0, 8.0, N)[:, None]
        y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
        shape = np.exp(-0.5 * np.hypot(x, y) ** 2 / self.size_px[:, None, None] ** 2)
        shape /= shape.sum(axis=(1, 2), keepdims=True)
        arcs = (flux[:, :, None, None] * shape[:, None]).astype(np.float32)
        invvar = np.ones((N, 3, SIZE, SIZE), np.float32)
        invvar *= (rng.uniform(0.5, 2.0, N) / SIGMA_NMGY**2).astype(np.float32)[:, None, None, None]
        # what choosing a flux asks of hosts
        hosts = SimpleNamespace(
            row_of={name: i for i, name in enumerate(TASKS)},
            invvar=invvar,
            sky_nmgy=np.full((N, 3), SKY_NMGY),
            good=np.ones(invvar.shape, bool),
        )
        rows = pa.table(
            {
                "host_id": TASKS,
                "source_id": [str(i) for i in range(N)],
                "lens_weight": pa.nulls(N, pa.float64()),
                "target_snr": draws.draw_target_snr(chosen.snr_targeting, TASKS, seed),
                **{name: drawn[:, b] for b, name in enumerate(per_band("src_mag_{b}"))},
            }
        )
        self.choice = choose_flux(rows, arcs, hosts=hosts, sources=catalogue, experiment=chosen)
        self.drawn = drawn[:, 1]
        self.applied = self.drawn - 2.5 * np.log10(self.choice.scale)
        self.snr_as_drawn = footprint_sums(
            arcs,
            invvar=invvar,
            good=hosts.good,
            hosts=np.arange(N),
            sky_nmgy=hosts.sky_nmgy[:, 1] if photons else None,
        ).snr(1.0)


def distance(values, weights, others):
    """Largest distance of two distribution functions, and what sampling makes of equal ones (5 %)."""
    at = np.sort(np.concatenate([values, others]))
    order = np.argsort(values)
    cumulative = np.concatenate([[0.0], np.cumsum(weights[order])]) / weights.sum()
    first = cumulative[np.searchsorted(values[order], at, side="right")]
    second = np.searchsorted(np.sort(others), at, side="right") / len(others)
    effective = weights.sum() ** 2 / (weights**2).sum()
    return np.abs(first - second).max(), 1.36 * np.sqrt(1.0 / effective + 1.0 / len(others))


@pytest.mark.parametrize("photons", [False, True])
@pytest.mark.parametrize("targeting", [NARROW, WIDE, TABLE], ids=["narrow", "wide", "table"])
def test_weighted_magnitudes_are_those_of_the_prior(targeting, photons):
    """Within the S/N that the target covers: what a cut of the prior at those limits would have kept."""
    chosen = Sample(targeting, photons, seed=31)
    prior = Sample(targeting, photons, seed=32)
    settings = chosen.experiment.snr_targeting
    low, high = settings.low, settings.high
    if settings.target == "table":
        low, high = settings.bin_edges[0], settings.bin_edges[-1]
    inside = (prior.snr_as_drawn >= low) & (prior.snr_as_drawn <= high)
    assert chosen.choice.reached.all()
    weight, one = chosen.choice.weight, np.ones(N)
    for mine, theirs in ((chosen.applied, prior.drawn), (chosen.size_px, prior.size_px)):
        found, limit = distance(mine, weight, theirs[inside])
        assert found < limit
    raw, limit = distance(chosen.applied, one, prior.drawn[inside])
    assert raw > 3.0 * limit
    # magnitude and size stay joined: bright galaxies are large in both
    joint = np.average((chosen.applied - prior.drawn[inside].mean()) * chosen.size_px, weights=weight)
    wanted = ((prior.drawn - prior.drawn[inside].mean()) * prior.size_px)[inside]
    effective = weight.sum() ** 2 / (weight**2).sum()
    assert joint == pytest.approx(wanted.mean(), abs=3.0 * wanted.std() * np.sqrt(2.0 / effective))
    # the weights count the share of the prior that lies in the range
    scatter = weight.std() / np.sqrt(N)
    assert weight.mean() == pytest.approx(inside.mean(), abs=3.0 * scatter + 0.02)
