"""Arcs of tables that are like the sound set, and a renderer that does one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gate_world
import numpy as np
import pyarrow as pa
from gate_world import GateWorld

from darkhaloscope.gates.physics.arcs import Arcs, read_arcs
from darkhaloscope.lensing.render import Rendered
from darkhaloscope.lensing.renderers import Renderer
from darkhaloscope.sources.library import open_sources

ROWS = 60


def arcs_of(good: GateWorld, table: pa.Table | None = None, n_rows: int = ROWS) -> Arcs:
    """Arcs of a table that is like the sound one."""
    world = good.world
    sample = good.sample if table is None else gate_world.sample_of(table, world.experiment)
    with open_sources("cosmos", world.bank_path) as library:
        return read_arcs(
            sample.table,
            gate_world.Rows(good.table if table is None else table),
            world.paths("stamps"),
            world.paths("hosts"),
            library,
            experiment=world.experiment,
            size_px=gate_world.SIZE_PX,
            n_rows=n_rows,
        )


@dataclass(frozen=True)
class Wrong:
    """A renderer that is given another scene, or whose image is changed.

    Parameters
    ----------
    inner : Renderer
        A right one.
    scene : callable
        Scene to scene, lensed light only.
    image : callable
        (images, scene) to images, all light.
    """

    inner: Renderer
    scene: Callable[[dict[str, Any]], dict[str, Any]] = dict
    image: Callable[[np.ndarray, dict[str, Any]], np.ndarray] = lambda image, _scene: image

    def lensed(self, templates: Any, **scene: Any) -> Rendered:
        given = self.scene({"templates": templates, **scene})
        rendered = self.inner.lensed(given.pop("templates"), **given)
        return rendered._replace(image=self.image(rendered.image, scene).astype(np.float32))

    def unlensed(self, templates: Any, **scene: Any) -> Rendered:
        rendered = self.inner.unlensed(templates, **scene)
        return rendered._replace(image=self.image(rendered.image, scene).astype(np.float32))
