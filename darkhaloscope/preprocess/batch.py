"""The steps of a spec and the changes of training, on tensors of any device.

The numpy modules say what each step means; agreement to 1e-6 is tested. Here
nothing is validated: stamps come from a cache or a reader that has done so.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, pad

from darkhaloscope.preprocess import centre as numpy_centre
from darkhaloscope.preprocess.augment import SYMMETRIES, TAPS, Draws, cubic_taps
from darkhaloscope.preprocess.linear import region_of, rings
from darkhaloscope.preprocess.spec import PreprocessSpec
from darkhaloscope.statistics.robust import MAD_TO_SIGMA


def model_images(spec: PreprocessSpec, stamps: Tensor, invvar: Tensor | None = None) -> Tensor:
    """Return what the model sees at inference, as :meth:`PreprocessSpec.images`.

    Parameters
    ----------
    spec : PreprocessSpec
        The spec.
    stamps, invvar : Tensor of float32, shape (n, bands, side, side)
        nMgy per pixel and 1/nMgy^2; finite.

    Returns
    -------
    Tensor, shape (n, bands, crop_px, crop_px)
    """
    noise = None
    if spec.treats_always and spec.centre == "noise":
        pixels = int(numpy_centre.centre_pixels(spec.crop_px, spec.centre_radius_px).sum())
        drawn = numpy_centre.noise(_crop(stamps, spec.crop_px).cpu().numpy(), pixels)
        noise = torch.from_numpy(drawn).to(stamps.device)
    treated = torch.full((len(stamps),), spec.treats_always, device=stamps.device)
    return finish(spec, linear(spec, stamps, invvar), treated, noise)


def linear(spec: PreprocessSpec, stamps: Tensor, invvar: Tensor | None = None) -> Tensor:
    """Crop and scale stamps, as :meth:`PreprocessSpec.linear`."""
    cropped = _crop(stamps, spec.crop_px)
    if spec.normalisation == "snr":
        assert invvar is not None
        return cropped * _crop(invvar, spec.crop_px).sqrt()
    if spec.normalisation == "residual_radial":
        cropped = _less_radial_profile(cropped)
    region = torch.from_numpy(region_of(spec.normalisation, spec.crop_px)).to(stamps.device)
    pixels = cropped.flatten(2)[:, :, region]
    median = _median(pixels)
    sigma = MAD_TO_SIGMA * _median((pixels - median).abs())
    return (cropped - median[..., None]) * (1.0 / sigma)[..., None]


def finish(spec: PreprocessSpec, linear_images: Tensor, treated: Tensor, noise: Tensor | None) -> Tensor:
    """Treat the centre of the chosen rows and clip, as :meth:`PreprocessSpec.finish`.

    Parameters
    ----------
    linear_images : Tensor, shape (n, bands, side, side)
        From :func:`linear`.
    treated : Tensor of bool, shape (n,)
        Rows whose centre is treated.
    noise : Tensor, shape (treated rows, bands, centre pixels), optional
        What the centres are replaced by where the treatment is ``noise``.
    """
    out = linear_images
    if spec.centre != "none" and bool(treated.any()):
        inside = numpy_centre.centre_pixels(out.shape[-1], spec.centre_radius_px)
        centre = torch.from_numpy(np.flatnonzero(inside)).to(out.device)
        chosen = out[treated]
        flat = chosen.flatten(2)
        if spec.centre == "mask":
            flat[:, :, centre] = 0.0
        elif spec.centre == "blur":
            flat[:, :, centre] = _blurred(chosen).flatten(2)[:, :, centre]
        else:
            assert noise is not None
            flat[:, :, centre] = noise
        out = out.clone()
        out[treated] = flat.reshape(chosen.shape)
    return out.clamp(-spec.clip, spec.clip)


def augment(linear_images: Tensor, draws: Draws) -> Tensor:
    """Turn, shift and scale linear images, as :func:`preprocess.augment.apply`."""
    out = linear_images
    if draws.shift_px.any():
        out = _shifted(out, draws.shift_px)
    if (draws.gain != 1.0).any():
        out = out * torch.from_numpy(draws.gain).to(out.device)[:, None, None, None]
    return turn(out, draws.symmetry)


def turn(images: Tensor, symmetry: NDArray[np.int64]) -> Tensor:
    """Turn each image by its symmetry: quarter turns (code mod 4), mirrored if code >= 4.

    Parameters
    ----------
    images : Tensor, shape (n, bands, side, side)
    symmetry : ndarray of int, shape (n,)
        Codes in [0, 8).
    """
    out = torch.empty_like(images)
    for code in range(SYMMETRIES):
        rows = torch.from_numpy(np.flatnonzero(symmetry == code)).to(images.device)
        turned = images[rows]
        if code >= SYMMETRIES // 2:
            turned = turned.flip(-1)
        out[rows] = torch.rot90(turned, code % 4, dims=(-2, -1))
    return out


def _crop(stamps: Tensor, crop_px: int) -> Tensor:
    start = (stamps.shape[-1] - crop_px) // 2
    return stamps[..., start : start + crop_px, start : start + crop_px]


def _median(values: Tensor) -> Tensor:
    """Return the median along the last axis, the mean of the two middle values where there are two."""
    half = values.shape[-1] // 2
    ordered = values.sort(dim=-1).values
    if values.shape[-1] % 2:
        return ordered[..., half : half + 1]
    return 0.5 * (ordered[..., half - 1 : half] + ordered[..., half : half + 1])


def _less_radial_profile(images: Tensor) -> Tensor:
    order, back, starts = rings(images.shape[-1])
    pixels = images.flatten(2)[..., torch.from_numpy(order).to(images.device)]
    parts = [pixels[..., start:stop] for start, stop in pairwise(starts)]
    less = torch.cat([part - _median(part) for part in parts], dim=-1)
    return less[..., torch.from_numpy(back).to(images.device)].reshape(images.shape)


def _blurred(images: Tensor) -> Tensor:
    n, bands, side, _ = images.shape
    taps = torch.from_numpy(numpy_centre.blur_taps()).to(images.device, torch.float64)
    reach = numpy_centre.BLUR_REACH_PX
    planes = images.to(torch.float64).reshape(n * bands, 1, side, side)
    # the mirror of torch leaves the edge pixel out, that of scipy repeats it
    mirrored = torch.cat([planes[:, :, :reach].flip(2), planes, planes[:, :, -reach:].flip(2)], dim=2)
    rows = conv2d(mirrored, taps.reshape(1, 1, -1, 1))
    mirrored = torch.cat([rows[..., :reach].flip(3), rows, rows[..., -reach:].flip(3)], dim=3)
    return conv2d(mirrored, taps.reshape(1, 1, 1, -1)).reshape(images.shape).to(images.dtype)


def _shifted(images: Tensor, shift_px: NDArray[np.float32]) -> Tensor:
    out, side, reach = images, images.shape[-1], TAPS // 2
    for axis, taps in ((3, cubic_taps(shift_px[:, 0])), (2, cubic_taps(shift_px[:, 1]))):
        weights = torch.from_numpy(taps).to(images.device)[:, :, None, None, None]
        edges = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
        padded = pad(out, edges, mode="replicate")
        out = sum(
            (weights[:, k] * padded.narrow(axis, k, side) for k in range(TAPS)), start=torch.zeros_like(out)
        )
    return out
