"""What a model sees: from stamps in nMgy to images in units of the sky's noise.

``spec`` is the record that a checkpoint carries, ``linear`` and ``centre`` are
its steps in numpy, ``batch`` the same steps on tensors, ``augment`` the changes
of training alone. Reading stamps is not their business.
"""

from darkhaloscope.preprocess.spec import PreprocessSpec

__all__ = ["PreprocessSpec"]
