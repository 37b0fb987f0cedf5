import numpy as np
import pytest
import synthetic_stamps as synthetic
import torch
from scipy.special import logit

from darkhaloscope.errors import DataError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.statistics import auc
from darkhaloscope.tabular import pixels
from darkhaloscope.training.models import LensFinder


@pytest.fixture(scope="module")
def table():
    return synthetic.stamp_table(20, "test")


def test_features_are_what_the_last_layer_reads(model, table):
    images = pixels(table, "image")
    features = model.features(images, table, batch_rows=7)
    head = model.checkpoint.network().head
    with torch.inference_mode():
        logits = head(torch.from_numpy(features).float()).squeeze(1).numpy()
    assert features.shape == (len(images), head.in_features)
    np.testing.assert_allclose(logits, model.logits(images, table), atol=1e-4)


def test_scores_are_those_of_the_network_on_preprocessed_rows(model, table):
    images = pixels(table, "image")
    network: LensFinder = model.checkpoint.network()
    with torch.inference_mode():
        logits = network(
            torch.from_numpy(model.preprocess.images(images)),
            torch.from_numpy(model.preprocess.metadata(table)),
        )
    scores = model.score(images, table)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(logit(scores), logits.numpy(), atol=1e-4)


def test_a_score_does_not_depend_on_the_other_rows(model, table):
    images = pixels(table, "image")
    together = model.score(images, table)
    for i in (0, 7, 19):
        np.testing.assert_array_equal(together[i : i + 1], model.score(images[i : i + 1], table.slice(i, 1)))
    backwards = np.arange(19, -1, -1)
    np.testing.assert_array_equal(together[::-1], model.score(images[backwards], table.take(backwards)))


def test_a_score_does_not_depend_on_the_threads(model, table):
    images = pixels(table, "image")
    before = torch.get_num_threads()
    scores = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        scores.append(model.score(images, table))
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*scores)


def test_standardised_conditions_do_as_well_as_the_table(model, table):
    images = pixels(table, "image")
    np.testing.assert_array_equal(
        model.score(images, table), model.score(images, model.preprocess.metadata(table))
    )


def test_scores_tell_lenses_from_controls(model, table):
    scores = model.score(pixels(table, "image"), table)
    assert auc(np.logical_not(table["is_control"].to_numpy()), scores) > 0.75


def test_missing_conditions_are_never_filled_in(model, table):
    images = pixels(table, "image")
    with pytest.raises(DataError, match=r"Conditions .*\(20, 4\).*psf_fwhm_g_arcsec"):
        model.score(images)
    with pytest.raises(DataError, match="Conditions"):
        model.score(images, table.slice(0, 19))
    with pytest.raises(DataError, match="missing"):
        model.score(images, table.drop(["psfdepth_r_mag"]))
    holes = model.preprocess.metadata(table)
    holes[3, 1] = np.nan
    with pytest.raises(DataError, match="finite"):
        model.score(images, holes)


def test_unusable_stamps_and_sizes_are_refused(model, table):
    images = pixels(table, "image").copy()
    with pytest.raises(DataError, match="Rows per forward pass"):
        model.score(images, table, batch_rows=0)
    images[7, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match=r"row 7"):
        model.score(images, table)


def test_no_rows_give_no_scores(model, table):
    assert model.score(pixels(table.slice(0, 0), "image"), table.slice(0, 0)).shape == (0,)


def test_the_model_knows_its_file(model, trained):
    assert model.sha256 == sha256_file(trained[0] / "checkpoint.pt")
    assert model.checkpoint.inputs == {"training_shards": "shards"}
