"""The two partition dimensions and how they map onto each other.

``experiment`` is static, one key per YAML file in ``experiments/``; ``tile`` is
dynamic and filled by the ``footprint`` asset.
"""

import dagster as dg

from assets.experiments import EXPERIMENT_NAMES

TILE_PARTITIONS_NAME = "tile"

experiments = dg.StaticPartitionsDefinition(EXPERIMENT_NAMES)
tiles = dg.DynamicPartitionsDefinition(name=TILE_PARTITIONS_NAME)
experiment_tiles = dg.MultiPartitionsDefinition({"experiment": experiments, "tile": tiles})

one_tile_of_each_experiment = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name="tile")
all_tiles_of_one_experiment = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name="experiment")
every_partition = dg.AllPartitionMapping()
