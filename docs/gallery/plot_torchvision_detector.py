"""
Detectors of torchvision, in plain PyTorch
==========================================

Put a backbone and torchvision's feature pyramid under torchvision's detectors, without a config and without mmdet, and
run a step of training and of detection on scenes of digits.
"""

import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

import mlp_backbones as mb
from mlp_backbones.datasets import DigitScenes

torch.manual_seed(0)

# %%
# Backbone and pyramid
# --------------------
# ``out_channels`` and ``out_strides``, or ``feature_info`` with the keys of timm, describe the outputs. torchvision's
# detectors expect a module that maps images to named feature maps of one width, which it gives as ``out_channels``.


class Pyramid(nn.Module):
    """Images ``[B, 3, H, W]`` to five feature maps ``[B, width, ~H / stride, ~W / stride]`` by name."""

    def __init__(self, backbone: mb.backbones.MLPBackbone, width: int = 256):
        super().__init__()
        self.backbone = backbone
        self.fpn = FeaturePyramidNetwork(list(backbone.out_channels), width, LastLevelMaxPool())
        self.out_channels = width

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.fpn({str(i): output for i, output in enumerate(self.backbone(images))})


backbone = mb.build_backbone('cyclemlp_b1')
for info in backbone.feature_info:
    print(info)
with torch.no_grad():
    maps = Pyramid(backbone).eval()(torch.zeros(1, 3, 200, 333))
print({name: tuple(features.shape) for name, features in maps.items()})

# %%
# Detectors
# ---------
# A dict of widths and depths as ``arch`` gives a slim network. For weights of ImageNet, load a file before:
# ``mb.checkpoints.load_published(backbone, 'CycleMLP_B1.pth')``. Class 0 of Faster R-CNN is the background.


def pyramid() -> Pyramid:
    arch = dict(dims=(24, 48, 96, 128), depths=(1, 1, 1, 1))
    return Pyramid(mb.build_backbone('CycleMLP', arch=arch, drop_path_rate=0.1), width=32)


size = dict(min_size=192, max_size=192)
anchors = AnchorGenerator(tuple((side,) for side in (16, 32, 64, 128, 192)), ((0.5, 1.0, 2.0),) * 5)
detectors = {
    'Faster R-CNN': FasterRCNN(pyramid(), 11, rpn_anchor_generator=anchors, rpn_pre_nms_top_n_train=200, **size),
    'RetinaNet': RetinaNet(pyramid(), 11, anchor_generator=anchors, **size),
    'FCOS': FCOS(pyramid(), 11, **size),
}

# %%
# A step of training, a step of detection
# ---------------------------------------
# Detectors take images ``[3, H, W]`` from 0 to 1 and boxes with labels. They return losses in training, and boxes in
# eval mode.

scenes = list(DigitScenes('train', 2))
images = [torch.from_numpy(scene.image.copy()).permute(2, 0, 1) / 255 for scene in scenes]
targets = [
    dict(
        boxes=torch.tensor([(x, y, x + w, y + h) for x, y, w, h in scene.boxes], dtype=torch.float32),
        labels=torch.tensor(scene.labels) + 1,
    )
    for scene in scenes
]
for name, detector in detectors.items():
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-4, weight_decay=0.05)
    losses = detector.train()(images, targets)
    sum(losses.values()).backward()
    optimizer.step()
    print(f'{name:<12}', ', '.join(f'{part} {loss:.2f}' for part, loss in losses.items()))
    with torch.no_grad():
        results = detector.eval()(images)
    assert len(results) == len(images) and all(result['boxes'].shape[1] == 4 for result in results)

# %%
# Such a detector needs a real training to find anything. These are the images and the boxes that it would learn.

_, axes = plt.subplots(1, len(scenes), figsize=(6, 3.1), layout='constrained')
for axis, scene, target in zip(axes, scenes, targets, strict=True):
    axis.imshow(scene.image)
    for x0, y0, x1, y1 in target['boxes'].tolist():
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor='white'))
    axis.set_axis_off()
plt.show()
