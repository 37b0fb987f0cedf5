"""Two epochs of one run differ in order and in augmentation, seen from inside the network."""

import synthetic_stamps as synthetic
import torch

from darkhaloscope.training.loop import train
from darkhaloscope.training.models import LensFinder


def fingerprints(images: torch.Tensor, *, whatever_turn: bool) -> list[float]:
    """One number per stamp; the sum of squares is the same however the stamp is turned."""
    values = images.double().flatten(1)
    weights = torch.ones(values.shape[1]) if whatever_turn else torch.linspace(0.0, 1.0, values.shape[1])
    return [round(float(v), 3) for v in (values**2 * weights).sum(dim=1)]


def test_the_network_sees_other_batches_in_every_epoch(tmp_path, monkeypatch):
    seen = []
    forward = LensFinder.forward

    def watched(self, images, metadata):
        if self.training:
            seen.append(images.clone())
        return forward(self, images, metadata)

    monkeypatch.setattr(LensFinder, "forward", watched)
    shards = synthetic.write_shards(tmp_path / "shards", train=32, val=8)
    train(synthetic.request(shards, tmp_path / "out", epochs=3))
    assert [len(images) for images in seen] == [32, 32, 32]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        rows = [fingerprints(seen[k], whatever_turn=True) for k in (first, second)]
        assert sorted(rows[0]) == sorted(rows[1]), "every epoch holds the same stamps"
        assert sum(a == b for a, b in zip(*rows, strict=True)) < 10, "in another order"
        turned = [set(fingerprints(seen[k], whatever_turn=False)) for k in (first, second)]
        assert len(turned[0] & turned[1]) < 16, "turned otherwise, but for one in eight by chance"
