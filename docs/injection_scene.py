"""The scene that the page on injection shows: which stored row, and why that one."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing.critical import images

_SHOWN = {
    "theta_e_arcsec": (1.4, 2.5),
    "arc_snr_footprint_r": (40.0, 250.0),
    "psf_fwhm_r_arcsec": (0.6, 1.5),
    "psfdepth_r_mag": (24.8, 27.0),
    "host_mag_r": (17.0, 20.8),
}

_DEFLECTOR = {
    "theta_e_arcsec": "theta_e_arcsec",
    "lens_q": "q",
    "lens_phi_rad": "phi_rad",
    "gamma1": "gamma1",
    "gamma2": "gamma2",
}


def clearest_quadruple(store: ArtifactStore, experiment: Experiment, task_id: str | None) -> pa.Table:
    """Return the row to show: the given one, or the clearest of those within ``_SHOWN`` with four images."""
    best: tuple[float, pa.Table] | None = None
    for tile in store.partitions("injected_stamps", experiment.name):
        table = tabular.read_table(
            store.paths(store.record("injected_stamps", experiment.name, tile), ".parquet")
        )
        lensed = pc.and_(pc.equal(table["status"], "ok"), pc.is_valid(table["theta_e_arcsec"]))
        names = ["task_id", "arc_snr_max_r", *dict.fromkeys([*_SHOWN, *_DEFLECTOR])]
        for index, row in enumerate(table.select([*names, "src_x_arcsec", "src_y_arcsec"]).to_pylist()):
            if row["task_id"] == task_id:
                return table.slice(index, 1)
            shown = lensed[index].as_py() and all(
                low < row[key] < high for key, (low, high) in _SHOWN.items()
            )
            if not shown:
                continue
            deflector = {argument: row[column] for column, argument in _DEFLECTOR.items()}
            spots = images(row["src_x_arcsec"], row["src_y_arcsec"], **deflector)
            if len(spots.x_arcsec) >= 4 and (best is None or row["arc_snr_max_r"] > best[0]):
                best = (row["arc_snr_max_r"], table.slice(index, 1))
    if best is None or task_id is not None:
        raise DataError(
            describe("No such scene in the campaign", file=store.directory("injected_stamps"), row=task_id)
        )
    return best[1]
