"""Light put on stamps in one pass is what the definitions say."""

import numpy as np
import pytest

from darkhaloscope.errors import ContractError, DataError
from darkhaloscope.lensing import noise, snr
from darkhaloscope.lensing.exposure import put_light
from darkhaloscope.streams import keys

BANDS, HOSTS, STAMPS, LIGHTS = 3, 7, 9, 6


def scene(size=64, seed=1):
    """Arcs of very different brightness on stamps with dead pixels; the first light lies in one corner."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    y, x = np.mgrid[:size, :size]
    blob = np.exp(-np.hypot(x - 0.4 * size, y - 0.6 * size) / (size / 25))
    light = blob * rng.uniform(1e-4, 1.0, (LIGHTS, BANDS, 1, 1))
    light[0] = np.exp(-np.hypot(x, y - size + 1))
    light[1, 0] = 0.0
    light[2] -= 1e-6
    invvar = np.repeat(rng.uniform(1e4, 1e5, (STAMPS, BANDS)), size * size).reshape(STAMPS, BANDS, size, size)
    invvar[:, :, 5:9, 11] = 0.0
    return {
        "image": rng.normal(0.0, 0.004, (STAMPS, BANDS, size, size)).astype(np.float32),
        "invvar": invvar.astype(np.float32),
        "rows": rng.permutation(STAMPS)[:LIGHTS],
        "light_nmgy": light.astype(np.float32),
        "good": rng.random((HOSTS, BANDS, size, size)) > 0.03,
        "hosts": rng.integers(0, HOSTS, LIGHTS),
        "sky_nmgy": rng.uniform(0.05, 0.5, (HOSTS, BANDS)),
        "keys": keys(seed, "test_exposure", [str(i) for i in range(LIGHTS)]),
    }


def put(scene, **changes):
    """Image, inverse variance and measures; the scene is left alone."""
    given = {**scene, **changes}
    image, invvar = given.pop("image").copy(), given.pop("invvar").copy()
    return image, invvar, put_light(image, invvar, given.pop("rows"), **given)


def expected(scene, i, noisy):
    row, host = scene["rows"][i], scene["hosts"][i]
    light, invvar = scene["light_nmgy"][i], scene["invvar"][row]
    if not noisy:
        return light, invvar
    sky = scene["sky_nmgy"][host][:, None, None]
    return noise.add_photon_noise(light, sky_nmgy=sky, invvar=invvar, key=scene["keys"][i])


@pytest.mark.parametrize("size", [64, 101, 33])
@pytest.mark.parametrize("noisy", [True, False])
def test_one_pass_agrees_with_the_definitions(size, noisy):
    given = scene(size)
    image, invvar, measures = put(given, keys=given["keys"] if noisy else None)
    for i, row in enumerate(given["rows"]):
        light, ivar = expected(given, i, noisy)
        peak = given["light_nmgy"][i].max()
        np.testing.assert_allclose(image[row], given["image"][row] + light, rtol=0, atol=1e-6 * max(peak, 1))
        np.testing.assert_allclose(invvar[row], ivar, rtol=1e-6)
        good, arc = given["good"][given["hosts"][i]], given["light_nmgy"][i]
        np.testing.assert_allclose(measures.flux_nmgy[i], arc.sum(axis=(1, 2), dtype=float), rtol=1e-6)
        for name in ("matched", "footprint", "stamp", "brightest_pixel"):
            found, wanted = getattr(measures, name)[i], getattr(snr, name)(arc, invvar[row], good)
            np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=name)


def test_noise_was_really_added():
    given = scene()
    quiet, noisy = put(given, keys=None)[0], put(given)[0]
    lit = given["light_nmgy"][3, 0] > 0.5 * given["light_nmgy"][3, 0].max()
    row = given["rows"][3]
    assert (noisy[row, 0][lit] != quiet[row, 0][lit]).all()


def test_stamps_without_light_are_left_alone_bit_for_bit():
    given = scene()
    image, invvar, _ = put(given)
    others = np.setdiff1d(np.arange(STAMPS), given["rows"])
    assert image[others].tobytes() == given["image"][others].tobytes()
    assert invvar[others].tobytes() == given["invvar"][others].tobytes()
    dark = given["rows"][1]
    assert image[dark, 0].tobytes() == given["image"][dark, 0].tobytes()


def test_a_stamp_does_not_depend_on_the_others_in_its_batch():
    given = scene()
    image, invvar, measures = put(given)
    for i in (0, 4):
        alone = {name: given[name][i : i + 1] for name in ("rows", "light_nmgy", "hosts", "keys")}
        single = put({**given, **alone})
        row = given["rows"][i]
        assert single[0][row].tobytes() == image[row].tobytes()
        assert single[1][row].tobytes() == invvar[row].tobytes()
        assert [m[0].tolist() for m in single[2]] == [m[i].tolist() for m in measures]


def test_no_light_at_all_is_no_error():
    given = scene()
    none = {name: given[name][:0] for name in ("rows", "light_nmgy", "hosts", "keys")}
    image, _, measures = put({**given, **none})
    assert image.tobytes() == given["image"].tobytes()
    assert measures.matched.shape == (0, BANDS)


def test_a_host_without_a_sky_level_is_refused():
    given = scene()
    given["sky_nmgy"][given["hosts"][2], 1] = np.nan
    with pytest.raises(DataError, match="sky_nmgy"):
        put(given)
    put(given, keys=None)


@pytest.mark.parametrize(
    "changes",
    [{"hosts": np.zeros(2, int)}, {"rows": np.full(LIGHTS, STAMPS)}, {"keys": np.zeros((1, 4), np.uint32)}],
)
def test_what_does_not_fit_is_refused(changes):
    with pytest.raises(ContractError, match="Light on stamps"):
        put(scene(), **changes)
