"""
Export and run in onnxruntime
=============================

Export a backbone to an ONNX file that accepts images of any size. onnxruntime then returns torch's values except for
rounding. The weights are random, which does not affect the comparison.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm

import mlp_backbones as mb
from mlp_backbones.apis.export import export_graph
from mlp_backbones.datasets import DigitScenes

torch.manual_seed(0)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name, 'convmlp_s.onnx')

# %%
# Write the file
# --------------
# ``python tools/export.py convmlp_s convmlp_s.onnx`` does the same. The file is kept only if it reproduces
# torch's values at three sizes other than that of the example.

net = mb.build_backbone('convmlp_s').eval()
error = export_graph(net, path, size=(96, 96))
print(f'{path.name}: {path.stat().st_size / 1e6:.1f} MB, largest relative difference in the trials {error:.1e}')

# %%
# Run it at other sizes
# ---------------------
# One session accepts all of them: parts of a scene of digits that are wide, high, tiny, or have odd sides. A name in
# place of a number in the shapes of its inputs and outputs means an open size.

session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
for value in (*session.get_inputs(), *session.get_outputs()):
    print(f'{value.name:<8} {value.shape}')

# %%

scene = DigitScenes('val', 4)[3]
image = (scene.image.astype(np.float32).transpose(2, 0, 1)[None] - 116) / 57
sizes = [(192, 192), (96, 192), (192, 101), (133, 77), (32, 32)]
differences, largest = {}, np.zeros((len(sizes), 4))
for row, (height, width) in enumerate(sizes):
    part = image[:, :, :height, :width].copy()
    with torch.no_grad():
        expected = [y.numpy() for y in net(torch.from_numpy(part))]
    got = session.run(None, {'images': part})
    differences[height, width] = [np.abs(a - b) / np.abs(b).max() for a, b in zip(got, expected, strict=True)]
    largest[row] = [difference.max() for difference in differences[height, width]]
    print(f'{height}x{width}: ' + ', '.join(f'{y.shape[1]} x {y.shape[2]}x{y.shape[3]}' for y in got))
assert largest.max() < 1e-4

# %%
# The differences
# ---------------
# Relative to the largest value of the output. The resolution of fp32 there is 6e-8 (dashed). Sums of hundreds of
# products in another order, layer after layer, differ by some tens of times that.

figure, (points, *maps) = plt.subplots(1, 4, figsize=(12, 3.2), layout='constrained', width_ratios=(1.6, 1, 1, 1))
for stage in range(4):
    points.plot(largest[:, stage], 'osD^'[stage], label=f'stage {stage}')
points.axhline(2.0**-24, color='grey', linestyle='--', linewidth=1)
points.set(yscale='log', ylim=(3e-8, 3e-5), ylabel='largest relative difference', title='onnxruntime and torch')
points.set_xticks(range(len(sizes)), [f'{height}x{width}' for height, width in sizes], rotation=20)
points.legend(ncols=2, fontsize='small')
maps[0].imshow(scene.image)
maps[0].set_title('scene, 192x192')
for axis, stage in zip(maps[1:], (0, 2), strict=True):
    image_of_stage = axis.imshow(
        differences[192, 192][stage][0].max(0) + 1e-9, norm=LogNorm(1e-8, 1e-5), cmap='viridis'
    )
    axis.set_title(f'difference, stage {stage}')
for axis in maps:
    axis.set_axis_off()
figure.colorbar(image_of_stage, ax=maps[1:], shrink=0.8)
plt.show()
folder.cleanup()
