"""Tabulated colours against GalSim's own integrals over its own copy of a similar survey's bands."""

import numpy as np
import pytest

from darkhaloscope.sources import colour_tracks as tracks

galsim = pytest.importorskip("galsim")

ALL = np.arange(len(tracks.TEMPLATES))


def magnitude(template, band, z):
    """AB magnitude of a template through LSST's band; no intergalactic absorption."""
    spectrum = galsim.SED(f"CWW_{template}_ext.sed", wave_type="Ang", flux_type="flambda").atRedshift(z)
    return spectrum.calculateMagnitude(galsim.Bandpass(f"LSST_{band}.dat", "nm").withZeropoint("AB"))


@pytest.mark.parametrize("z", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("template", range(4))
def test_colours_are_galsims_to_what_the_bands_differ_by(template, z):
    name = tracks.TEMPLATES[template]
    g, r, zed = (magnitude(name, band, z) for band in "grz")
    mine = np.array(tracks.template_colours(template, z))
    assert mine == pytest.approx([g - r, r - zed], abs=0.25)


def test_over_redshift_and_type_the_bands_differ_by_little():
    differences = []
    for template in ALL:
        for z in np.arange(0.0, 1.1, 0.1):
            g, r, zed = (magnitude(tracks.TEMPLATES[template], band, z) for band in "grz")
            differences.append(np.array(tracks.template_colours(template, z)) - [g - r, r - zed])
    median = np.median(differences, axis=0)
    assert np.abs(median).max() < 0.12
    assert np.quantile(np.abs(differences), 0.75) < 0.15


def test_old_galaxies_redden_as_the_break_passes_the_bands_and_young_ones_are_blue_beyond():
    g_r, r_z = tracks.template_colours(np.zeros(5, int), [0.1, 0.2, 0.3, 0.35, 0.4])
    assert (np.diff(g_r) > 0.0).all(), "the 4000 A break moves through g"
    _, r_z = tracks.template_colours(np.zeros(6, int), [0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert (np.diff(r_z) > 0.0).all(), "and then through r"
    for z in (0.4, 0.5, 0.6, 0.7):
        colours = np.array(tracks.template_colours(ALL, np.full(4, z)))
        assert (np.diff(colours, axis=1) < 0.0).all(), "redder the older"
    late = np.array([tracks.template_colours([2, 3], [z, z]) for z in (1.6, 1.8, 2.0, 2.2)])
    assert late[:, 0].max() < 0.3
    assert late[:, 1].max() < 0.95


def test_absorption_reddens_g_once_the_forest_enters_it():
    g_r, _ = tracks.template_colours(3, [2.0, 2.5, 3.0, 3.5])
    assert g_r[0] < g_r[1] < g_r[2] < g_r[3]


def test_between_and_beyond_the_table():
    middle = tracks.template_colours(1, 0.55)[0]
    ends = [tracks.template_colours(1, z)[0] for z in (0.5, 0.6)]
    assert middle == pytest.approx(np.mean(ends))
    np.testing.assert_array_equal(tracks.template_colours(2, 9.0), tracks.template_colours(2, 4.0))


def test_k_corrections_say_that_observed_z_is_rest_frame_r_near_redshift_half():
    """At 1 + z = lambda_z / lambda_r = 1.44 the bands coincide: K = -2.5 log10(1 + z) for any spectrum."""
    assert float(tracks.k_correction_z_to_r(0.443)) == pytest.approx(-2.5 * np.log10(1.443), abs=0.03)
    assert float(tracks.k_correction_z_to_r(0.0)) == pytest.approx(-tracks.R_Z_MAG[0][0], abs=0.006)
