"""L35: every arc of the predecessor had one colour, g - r = -0.32, so colour alone told the class."""

import numpy as np

from darkhaloscope.config import Sources
from darkhaloscope.sources.population import draw_source_magnitudes


def test_population_colours_scatter_like_galaxies_and_are_correlated():
    ids = [f"task-{i}" for i in range(4000)]
    mags = draw_source_magnitudes(Sources(), mag_f814w=np.full(4000, 23.0), host_mag_r=19.0, ids=ids, seed=6)
    g_r, r_z = mags[:, 0] - mags[:, 1], mags[:, 1] - mags[:, 2]
    assert g_r.std() > 0.2
    assert r_z.std() > 0.15
    assert 0.3 < np.corrcoef(g_r, r_z)[0, 1] < 0.7
    assert len(np.unique(np.round(g_r, 4))) > 2000
