"""
Load official weights and look at features
==========================================

Load a file of published weights into a backbone, read the report of what was loaded, and draw each stage's features for
a scene of digits.

**The weights of this page are random.** The machine that builds it cannot download the published files. The script
therefore writes a file in their layout, with their names and shapes, from a network with a fixed seed, and loads
it. With ``CycleMLP_B1.pth`` from the authors' release, all lines from :ref:`the report <load-the-file>` on stay the
same, and the figures show learned features.
"""

import tempfile
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from torch.nn import functional as F

import mlp_backbones as mb
from mlp_backbones.datasets import DigitScenes

torch.manual_seed(0)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name, 'CycleMLP_B1.pth')

# %%
# A file in the published layout
# ------------------------------
# CycleMLP's authors store the tensors under ``model``, name blocks ``network.<n>.<m>``, keep point-wise maps as
# matrices, and add the constant offsets of the cycle layers. ``convert`` writes this layout.

classifier = mb.build_classifier('CycleMLP', arch='b1')
content, identity, _ = mb.checkpoints.convert({'state_dict': classifier.state_dict()}, to='official')
torch.save(content, path)

print(f'{path.name}: {identity}, {len(content["model"])} tensors')
for name in ['patch_embed.proj.weight', 'network.0.0.attn.sfc_h.weight', 'network.0.0.mlp.fc1.weight', 'head.weight']:
    print(f'  {name:<30} {list(content["model"][name].shape)}')

# %%
# .. _load-the-file:
#
# The report
# ----------
# The dense network has a norm for each of its four outputs, which a classifier's file lacks, and does not need the
# classifier's norm and head. The report lists both, and counts the tensors that were stored in another shape.

net = mb.build_backbone('CycleMLP', arch='b1').eval()
report = mb.checkpoints.load_published(net, path)
print(str(report).replace(f'{path.parent}/', ''))

# %%
# A file of another network is refused, and the model stays unchanged:

try:
    mb.checkpoints.load_published(mb.build_backbone('CycleMLP', arch='b2'), path)
except mb.checkpoints.CheckpointError as error:
    print(str(error).replace(f'{path.parent}/', ''))

# %%
# Features
# --------
# The scene is 192x192 pixels. It is normalised with ImageNet's mean and deviation, as the published networks
# expect. The three directions in which a stage's features vary most are shown as red, green and blue.

scene = DigitScenes('val', 4)[3]
image = torch.from_numpy(scene.image.copy()).permute(2, 0, 1)[None] / 255
mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
with torch.no_grad():
    features = net((image - mean) / deviation)


def as_colours(feature):
    """``[1, C, H, W]`` to ``[H, W, 3]`` from 0 to 1: the first three principal components."""
    flat = feature[0].flatten(1).T
    parts = (flat - flat.mean(0)) @ torch.pca_lowrank(flat, 3, niter=4)[2]
    low, high = parts.quantile(0.02, 0), parts.quantile(0.98, 0)
    return ((parts - low) / (high - low)).clamp(0, 1).unflatten(0, feature.shape[2:])


figure, axes = plt.subplots(1, 5, figsize=(12, 2.6), layout='constrained')
axes[0].imshow(scene.image)
axes[0].set_title('scene, 192x192')
for i, (axis, feature) in enumerate(zip(axes[1:], features, strict=True)):
    axis.imshow(as_colours(feature), interpolation='nearest')
    axis.set_title(f'stage {i}: {feature.shape[1]} x {feature.shape[2]}x{feature.shape[3]}')
for axis in axes:
    axis.set_axis_off()
plt.show()

# %%
# Cosine similarity of all positions of a stage to one position on a digit, marked by the cross. Bright positions have
# features in the same direction as those under the cross.

row, column = torch.from_numpy(scene.masks[0]).nonzero().float().mean(0)
figure, axes = plt.subplots(1, 5, figsize=(12, 2.6), layout='constrained')
axes[0].imshow(scene.image)
for i, (axis, feature, stride) in enumerate(zip(axes[1:], features, net.out_strides, strict=True)):
    query = feature[:, :, int(row / stride), int(column / stride), None, None]
    axis.imshow(F.cosine_similarity(feature, query)[0], extent=(0, 192, 192, 0), cmap='magma')
    axis.set_title(f'stage {i}, stride {stride}')
for axis in axes:
    axis.plot(column, row, 'w+', markersize=10)
    axis.set_axis_off()
plt.show()
folder.cleanup()
