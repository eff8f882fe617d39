"""OUT/vdb/smoke_001.vdb to smoke_008.vdb: boxes that grow. Wants a Blender that brings the module `openvdb`."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stage  # noqa: E402

stage.bring_modules()
import openvdb  # noqa: E402

os.makedirs(os.path.join(stage.OUT, "vdb"), exist_ok=True)
for number in range(1, 9):
    grid = openvdb.FloatGrid()
    grid.name = "density"
    grid.transform = openvdb.createLinearTransform(0.25)
    grid.fill((-4, -4, -4), (4, 4, 2 * number - 4), 4.0)
    openvdb.write(os.path.join(stage.OUT, f"vdb/smoke_{number:03d}.vdb"), grids=[grid])
