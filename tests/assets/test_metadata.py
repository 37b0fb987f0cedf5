import base64
import io

import numpy as np
import pytest
from PIL import Image

from assets.metadata import MAX_INLINE_PICTURE_BYTES, picture_metadata


@pytest.mark.parametrize(("side", "kind"), [(40, "png"), (900, "jpeg")])
def test_picture_is_inline_and_small_enough_for_the_event_log(tmp_path, side, kind):
    pixels = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "hosts.png")
    metadata = picture_metadata(tmp_path / "hosts.png")
    assert metadata["hosts_path"].value == str(tmp_path / "hosts.png")
    head, _, body = metadata["hosts"].value.partition("base64,")
    assert head == f"![hosts](data:image/{kind};"
    content = base64.b64decode(body[:-1])
    assert len(content) <= MAX_INLINE_PICTURE_BYTES
    shown = Image.open(io.BytesIO(content))
    assert 0 < shown.width <= side
