"""The sections that follow the shards: what a model sees, what it is, how it learns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from darkhaloscope.config.base import Fraction, Positive, Section


class Preprocess(Section):
    """What the model sees; becomes a ``PreprocessSpec``.

    Parameters
    ----------
    normalisation : str
        ``outer_mad`` (median and MAD at radius > 25 % of the side), ``raw_mad``,
        ``residual_radial`` (radial profile taken away first) or ``snr`` (image x sqrt(invvar)).
    clip : float
        Normalised values are clipped to +- this.
    centre : str
        ``none``, or the predecessor's remedies ``mask``, ``blur``, ``noise``.
    centre_radius_px : float
        Radius of the centre treatment.
    centre_probability : float
        Share of training rows that are treated; below 1 none is at inference.
    metadata : list of str
        Condition columns given to the model beside the image.
    """

    normalisation: Literal["outer_mad", "raw_mad", "residual_radial", "snr"] = "outer_mad"
    clip: Positive = 10.0
    centre: Literal["none", "mask", "blur", "noise"] = "none"
    centre_radius_px: Positive = 10.0
    centre_probability: Fraction = 1.0
    metadata: tuple[str, ...] = (
        "psf_fwhm_g_arcsec",
        "psf_fwhm_r_arcsec",
        "psf_fwhm_z_arcsec",
        "psfdepth_r_mag",
    )


class Model(Section):
    """The network.

    Parameters
    ----------
    encoder : str or None
        timm model name; None takes the profile's.
    metadata_width : int
        Width of the metadata branch; 0 for images only.
    dropout : float
        Before the last layer.
    """

    encoder: str | None = None
    metadata_width: Annotated[int, Field(ge=0)] = 32
    dropout: Fraction = 0.1


class Augmentation(Section):
    """How training rows change from epoch to epoch, in both classes alike.

    Parameters
    ----------
    flips, quarter_turns : bool
        Symmetries of the square.
    shift_px : float
        Largest shift along either axis, in pixels, uniform.
    flux_jitter : float
        Standard deviation of the logarithm of a factor on the normalised image.
    """

    flips: bool = True
    quarter_turns: bool = True
    shift_px: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    flux_jitter: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0


class Training(Section):
    """The optimisation.

    Parameters
    ----------
    learning_rate, weight_decay : float
        AdamW.
    warmup_fraction : float
        Share of steps before the cosine decay.
    loss : str
        ``bce`` or ``focal``.
    augmentation : Augmentation
        How rows change from epoch to epoch.
    hard_negative_share : float
        Share of each batch drawn from catalogued look-alikes, where there are
        any; 0 leaves them where the shuffle puts them.
    ema_decay : float
        Decay per step of the running average of the weights that is judged and
        kept; 0 for the weights themselves.
    gradient_clip : float
        Largest norm of a step's gradient.
    accumulate : int
        Batches whose gradients make one step.
    patience : int
        Epochs without a better ``best_by`` after which training ends; 0 for never.
    compile : bool
        Whether the network is compiled by ``torch.compile``.
    best_by : str
        Validation metric that picks the checkpoint.
    precision : str
        ``auto`` takes bf16 where the hardware multiplies it natively.
    """

    learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.02
    warmup_fraction: Fraction = 0.2
    loss: Literal["bce", "focal"] = "bce"
    augmentation: Augmentation = Augmentation()
    hard_negative_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    gradient_clip: Positive = 1.0
    accumulate: Annotated[int, Field(ge=1)] = 1
    patience: Annotated[int, Field(ge=0)] = 0
    compile: bool = False
    best_by: Literal["auc", "average_precision", "loss"] = "auc"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
