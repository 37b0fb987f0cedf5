"""The loops of the convolution: the transfer function, and light apart by parity."""

import numpy as np
import pytest

from darkhaloscope.lensing import convolution_kernels
from darkhaloscope.lensing.convolution import GridSpec, basis, parity_basis, transfer_table
from darkhaloscope.lensing.psf import moffat_transfer


def test_transfer_function_without_a_library():
    x = np.concatenate([np.linspace(0.0, 40.0, 20001), [50.0, 1e6]])
    found = [convolution_kernels.transfer(np.float32(v)) for v in x]
    np.testing.assert_allclose(found, moffat_transfer(x), atol=4e-6)


def test_transfer_table_between_its_entries():
    table, per_unit = transfer_table()
    x = np.linspace(0.0, 39.9, 40001)
    np.testing.assert_allclose(
        np.interp(x * per_unit, np.arange(table.size), table), moffat_transfer(x), atol=2e-6
    )
    assert table[-1] < 1e-14


@pytest.mark.parametrize("size", [1, 2, 9, 10])
def test_parts_by_parity_do_what_the_whole_basis_does(size):
    """Project, fold and evaluate against the products with all cosines and sines."""
    spec = GridSpec(size_px=size, box_px=8, cells_per_px=2, period_px=21, cutoff=0.6)
    whole, half = basis(spec), parity_basis(spec)
    rng = np.random.Generator(np.random.Philox(3))
    cells = rng.normal(size=(2, 16, 16)).astype(np.float32)
    folded = np.empty((2, 2, 8, 2, 8), np.float32)
    convolution_kernels.fold(cells, folded)
    k = whole.radii.shape[0]
    expected = whole.project @ cells @ whole.project_t
    coefficients = np.einsum("pkj,npjqi,qli->npkql", half.project, folded, half.project)
    np.testing.assert_allclose(coefficients[:, 0, :, 0], expected[:, :k, :k], atol=1e-4)
    np.testing.assert_allclose(coefficients[:, 0, :, 1, 1:], expected[:, :k, k:], atol=1e-4)
    np.testing.assert_allclose(coefficients[:, 1, 1:, 0], expected[:, k:, :k], atol=1e-4)
    np.testing.assert_allclose(coefficients[:, 1, 1:, 1, 1:], expected[:, k:, k:], atol=1e-4)
    assert (coefficients[:, 1, 0] == 0).all()

    parts = np.einsum("pkj,npkql,qli->nqpji", half.evaluate, coefficients, half.evaluate)
    image = np.full((4, 1, size, size), np.nan, np.float32)
    convolution_kernels.unfold(
        np.ascontiguousarray(parts[:, :, None], dtype=np.float32), np.array([3, 1]), image
    )
    assert np.isnan(image[[0, 2]]).all()
    np.testing.assert_allclose(image[[3, 1], 0], whole.evaluate_t @ expected @ whole.evaluate, atol=1e-4)
