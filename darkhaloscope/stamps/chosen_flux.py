"""Which flux each positive gets: that of its manifest row, or that of the S/N it aims at.

Manifest rows and their rendered arcs come in; what has to be done to the arcs,
and what is to be recorded of it, goes out. The arithmetic is in ``flux_target``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.errors import ConfigError, describe
from darkhaloscope.schema import BANDS
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.sources.population import prior_density_per_mag
from darkhaloscope.stamps.flux_target import footprint_sums, sampling_weight
from darkhaloscope.stamps.hostpixels import HostStamps
from darkhaloscope.stamps.snr_target import declared_target

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ChosenFlux:
    """What is done to the flux of k positives.

    Parameters
    ----------
    scale : ndarray, shape (k,)
        Factor on the flux of the manifest row in every band; 1 where no S/N is
        aimed at.
    weight : ndarray, shape (k,)
        Importance weight of the applied magnitude, 1 where no S/N is aimed at,
        times that of the lens.
    reached : ndarray of bool, shape (k,)
        False where the target asks for a magnitude outside the stated range;
        scale and weight are then 1 and void.
    """

    scale: FloatArray
    weight: FloatArray
    reached: NDArray[np.bool_]


def choose_flux(
    rows: pa.Table,
    arcs: NDArray[np.float32],
    *,
    hosts: HostStamps,
    sources: SourceLibrary,
    experiment: Experiment,
) -> ChosenFlux:
    """Choose the flux of every positive whose manifest row names a target S/N.

    Parameters
    ----------
    rows : pyarrow.Table
        MANIFEST, k positives.
    arcs : ndarray of float32, shape (k, bands, size, size)
        Their noiseless arcs at the flux of the manifest. Unit: nMgy/px.
    hosts : HostStamps
        Pixels the arcs will lie on.
    sources : SourceLibrary
        F814W magnitudes, for the prior.
    experiment : Experiment
        ``snr_targeting``, ``sources`` and ``noise``.

    Returns
    -------
    ChosenFlux

    Raises
    ------
    ConfigError
        If rows name targets and the experiment declares none.
    """
    k = rows.num_rows
    of_lens = np.asarray(pc.fill_null(rows["lens_weight"], 1.0).to_numpy(), dtype=np.float64)
    chosen = ChosenFlux(np.ones(k), of_lens.copy(), np.ones(k, dtype=bool))
    aimed = np.flatnonzero(rows["target_snr"].is_valid())
    if len(aimed) == 0:
        return chosen
    target = declared_target(experiment.snr_targeting)
    if target is None:
        raise ConfigError(
            describe(
                "Rows that aim at an S/N",
                field="snr_targeting.mode",
                expected="choose_flux",
                got=experiment.snr_targeting.mode,
                hint="the manifest was drawn by another configuration",
            )
        )
    rows = rows.take(pa.array(aimed))
    at = np.array([hosts.row_of[name] for name in rows["host_id"].to_pylist()], dtype=np.intp)
    photons = experiment.noise.arc_shot_noise
    sums = footprint_sums(
        arcs if len(aimed) == k else arcs[aimed],
        invvar=hosts.invvar,
        good=hosts.good,
        hosts=at,
        sky_nmgy=hosts.sky_nmgy[:, BANDS.index("r")] if photons else None,
    )
    wanted = rows["target_snr"].to_numpy()
    scale = sums.scale(wanted)
    drawn = rows["src_mag_r"].to_numpy()
    mag_r = drawn - 2.5 * np.log10(scale)
    bright, faint = experiment.snr_targeting.mag_r_range
    reached = (mag_r >= bright) & (mag_r <= faint)
    scale = np.where(reached, scale, 1.0)
    index = np.array([sources.index_of(name) for name in rows["source_id"].to_pylist()], dtype=np.intp)
    weight = sampling_weight(
        prior_density_per_mag(
            experiment.sources,
            mag_f814w=np.asarray(sources.mag_f814w)[index],
            mag_r=np.where(reached, mag_r, drawn),
            r_z=drawn - rows["src_mag_z"].to_numpy(),
        ),
        target.density_per_ln(wanted),
        sums.slope(scale),
    )
    chosen.scale[aimed] = scale
    chosen.weight[aimed] = np.where(reached, of_lens[aimed] * weight, 1.0)
    chosen.reached[aimed] = reached
    return chosen
