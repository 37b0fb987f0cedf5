import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import survey_server
from astropy.io import fits

from darkhaloscope.errors import ConfigError, DataError, EngineError
from darkhaloscope.survey import transport
from darkhaloscope.survey.cutout_service import CutoutService
from darkhaloscope.survey.release import DR9_NORTH, DR10_SOUTH

RA, DEC, SIZE = 40.123456789, -5.5, 33


def answer(size=SIZE, bands="grz", scale=0.262, nan=False):
    """The FITS file that the viewer sends: image, invvar and mask on one tangent plane."""
    rng = np.random.Generator(np.random.Philox(key=5))
    header = fits.Header(
        {
            "SURVEY": "DECaLS", "VERSION": "DR10", "IMAGETYP": "image", "BANDS": bands,
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": RA, "CRVAL2": DEC,
            "CRPIX1": size / 2 + 0.5, "CRPIX2": size / 2 + 0.5,
            "CD1_1": -scale / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale / 3600,
        }
    )  # fmt: skip
    image = rng.normal(0.0, 0.01, (len(bands), size, size)).astype(np.float32)
    if nan:
        image[1, 0, 0] = np.nan
    parts = [
        fits.PrimaryHDU(image, header),
        fits.ImageHDU(np.full_like(image, 1e4), fits.Header({"IMAGETYP": "INVVAR"})),
        fits.ImageHDU(np.zeros((size, size), np.int16), fits.Header({"IMAGETYP": "MASKBITS"})),
    ]
    return fits.HDUList(parts)


class Viewer(survey_server.Handler):
    """The viewer: one address with a query; what it sends is the test's."""

    def answer(self, path, fault):
        if fault in (survey_server.BUSY, survey_server.PAGE):
            super().answer(path, fault)
            return
        self.server.survey.asked.append(parse_qs(urlsplit(self.path).query, keep_blank_values=True))
        self.serve(bytearray(self.server.survey.top.read_bytes()), fault)


@pytest.fixture
def viewer(tmp_path):
    path = tmp_path / "answer.fits"
    answer().writeto(path)
    with survey_server.serving(path, Viewer) as server:
        server.asked = []
        yield server


@pytest.fixture
def service(viewer, tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(transport, "LONGEST_WAIT_S", 0.0)
    return CutoutService(tmp_path / "kept", url=viewer.url)


def resend(viewer, hdus):
    hdus.writeto(viewer.top, overwrite=True)


def fault(viewer, *faults):
    viewer.any_path = list(faults)


def test_the_request_names_layer_scale_and_both_extra_planes(service, viewer):
    cut = service.cut(DR10_SOUTH, RA, DEC, SIZE)
    assert viewer.asked == [
        {
            "ra": ["40.123457"], "dec": ["-5.500000"], "layer": ["ls-dr10-south"], "size": ["33"],
            "bands": ["grz"], "pixscale": ["0.262"], "invvar": [""], "maskbits": [""],
        }
    ]  # fmt: skip
    assert cut.status == "ok"
    sent = answer()
    np.testing.assert_array_equal(cut.image, sent[0].data)
    np.testing.assert_array_equal(cut.invvar, sent[1].data)
    assert cut.maskbits.dtype == np.int32
    assert (cut.x_offset_px, cut.y_offset_px) == (0.0, 0.0)
    assert np.isnan(cut.psf_fwhm_arcsec).all()


def test_an_answer_is_kept_by_request(service, viewer):
    service.cut(DR10_SOUTH, RA, DEC, SIZE)
    service.cut(DR10_SOUTH, RA + 360.0, DEC, SIZE)
    assert len(viewer.asked) == 1
    service.cut(DR10_SOUTH, RA, DEC + 0.001, SIZE)
    assert len(viewer.asked) == 2


def test_no_pixels_is_a_status(service, viewer):
    resend(viewer, fits.HDUList([fits.PrimaryHDU()]))
    assert service.cut(DR10_SOUTH, RA, DEC, SIZE).status == "outside_footprint"


def test_beyond_the_release_nobody_is_asked(service, viewer):
    # The viewer's joint layer would serve another camera's pixels here.
    assert service.cut(DR10_SOUTH, 180.0, 33.0, SIZE).status == "outside_footprint"
    assert service.cut(DR9_NORTH, 180.0, 32.0, SIZE).status == "outside_footprint"
    assert viewer.asked == []


def test_bad_pixels_are_judged_as_those_of_coadds(service, viewer):
    resend(viewer, answer(nan=True))
    assert service.cut(DR10_SOUTH, RA, DEC, SIZE).status == "non_finite"


@pytest.mark.parametrize("kind", [survey_server.BUSY, survey_server.PAGE, survey_server.CUT])
def test_faults_in_passing_are_survived(service, viewer, kind):
    fault(viewer, kind, kind)
    assert service.cut(DR10_SOUTH, RA, DEC, SIZE).status == "ok"


def test_an_error_page_for_ever_is_no_cutout_and_is_not_kept(service, viewer, tmp_path):
    fault(viewer, *[survey_server.PAGE] * 50)
    with pytest.raises(DataError, match="error page"):
        service.cut(DR10_SOUTH, RA, DEC, SIZE)
    assert not list((tmp_path / "kept").rglob("*.fits"))


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (lambda: answer(size=31), r"IMAGE of shape \(3, 33, 33\)"),
        (lambda: answer(bands="gri"), "bands grz, got gri"),
        (lambda: answer(scale=0.27), r"0\.262 arcsec per pixel, got 0\.27"),
        (lambda: answer()[:1], "INVVAR of shape"),
    ],
)
def test_another_image_than_asked_for_is_refused(service, viewer, sent, message):
    resend(viewer, sent())
    with pytest.raises(DataError, match=message):
        service.cut(DR10_SOUTH, RA, DEC, SIZE)


def test_without_a_network_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(transport, "LONGEST_WAIT_S", 0.0)
    with pytest.raises(EngineError, match="check the network"):
        CutoutService(tmp_path, url="http://127.0.0.1:9").cut(DR10_SOUTH, RA, DEC, SIZE)


@pytest.mark.parametrize("size", [0, 3001])
def test_a_size_the_service_does_not_render_is_refused(service, size):
    with pytest.raises(ConfigError, match="1 to 3000"):
        service.cut(DR10_SOUTH, RA, DEC, size)


def test_no_more_than_three_requests_at_once(service, viewer):
    viewer.hold_s = 0.1
    with ThreadPoolExecutor(8) as pool:
        cuts = list(pool.map(lambda k: service.cut(DR10_SOUTH, RA, DEC + k / 100, SIZE), range(12)))
    assert {cut.status for cut in cuts} == {"ok"}
    assert viewer.most_at_once == 3
    assert threading.active_count() < 20
