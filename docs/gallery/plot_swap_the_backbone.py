"""
Swap the backbone of a stock config
===================================

Replace ResNet-50 by CycleMLP in mmdet's own config of a region proposal network, with four lines. Then train a slim
version for a few seconds on scenes of digits, and look at its proposals.
"""

import tempfile
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mlp_backbones.datasets import DigitScenes

torch.manual_seed(0)
# Do not log a line for each initialised weight.
MMLogger.get_instance('gallery', log_level='WARNING')
init_default_scope('mmdet')
folder = tempfile.TemporaryDirectory()


def load(text):
    path = Path(folder.name, 'config.py')
    path.write_text(text)
    return Config.fromfile(path)


# %%
# Four lines
# ----------
# ``_delete_`` drops the settings of the ResNet, with its weights from torchvision, and the neck gets the widths of
# the new outputs. Anchors, losses, data and schedule stay as in mmdet.

stock = "_base_ = 'mmdet::rpn/rpn_r50_fpn_1x_coco.py'\n"
swap = """
model = dict(
    backbone=dict(_delete_=True, type='mlp_backbones.CycleMLP', arch='b1'),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
"""

image = torch.zeros(1, 3, 200, 333)
for name, text in {'ResNet-50': stock, 'CycleMLP-B1': stock + swap}.items():
    model = MODELS.build(load(text).model).eval()
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    with torch.no_grad():
        shapes = [f'{y.shape[1]} x {y.shape[2]}x{y.shape[3]}' for y in model.backbone(image)]
    print(f'{name:<12} {millions:5.1f} M parameters, outputs for 200x333 pixels: {", ".join(shapes)}')

# %%
# A slim one for digits
# ---------------------
# The same swap with custom widths and depths, and a matching neck and head, small enough to train on one processor
# core in seconds. The larger initial weights suit such a short training. Digits overlap little, so that of two
# overlapping boxes only one is kept.

slim = """
dims = [24, 48, 96, 128]
model = dict(
    data_preprocessor=dict(pad_size_divisor=1),
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.CycleMLP',
        arch=dict(dims=dims, depths=[1, 1, 1, 1]),
        init_cfg=dict(type='Xavier', layer='Conv2d', distribution='uniform'),
    ),
    neck=dict(in_channels=dims, out_channels=48),
    rpn_head=dict(in_channels=48, feat_channels=48),
    test_cfg=dict(rpn=dict(nms=dict(iou_threshold=0.3))),
)
"""
config = load(stock + slim)
model = MODELS.build(config.model)
model.init_weights()


def batch(scenes):
    """Return scenes as input of mmdet's models: BGR images ``[3, 192, 192]``, and a sample with boxes for each."""
    images, samples = [], []
    for scene in scenes:
        images.append(torch.from_numpy(scene.image[:, :, ::-1].copy()).permute(2, 0, 1))
        boxes = torch.tensor([(x, y, x + w, y + h) for x, y, w, h in scene.boxes], dtype=torch.float32)
        shape = scene.image.shape[:2]
        sample = DetDataSample(metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(1, 1)))
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


# %%
# Before training
# ---------------
# The boxes with the highest scores are arbitrary. White boxes are digits; orange boxes are proposals, as many as
# there are digits, those with the highest scores. A digit counts as found if such a box overlaps it by half
# (intersection over union). The handwriting of these scenes does not occur in training.


@torch.no_grad()
def propose(scenes):
    """Yield the boxes with the highest scores, and the scores, for each scene: as many as it has digits."""
    model.eval()
    for scene in scenes:
        (result,) = model.test_step(batch([scene]))
        best = result.pred_instances[: len(scene.labels)]
        yield best.bboxes, best.scores


def count_found(scenes):
    """Print and return the number of digits that a box overlaps by half."""
    found = digits = 0
    for scene, (boxes, _) in zip(scenes, propose(scenes), strict=True):
        truth = batch([scene])['data_samples'][0].gt_instances.bboxes
        found += (bbox_overlaps(truth, boxes).amax(1) >= 0.5).sum().item()
        digits += len(truth)
    print(f'{found} of {digits} digits found in {len(scenes)} scenes')
    return found


def draw(scenes):
    _, axes = plt.subplots(1, len(scenes), figsize=(12, 3.1), layout='constrained')
    for axis, scene, (boxes, scores) in zip(axes, scenes, propose(scenes), strict=True):
        axis.imshow(scene.image)
        for x, y, width, height in scene.boxes:
            axis.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor='white', linewidth=1))
        for (x0, y0, x1, y1), score in zip(boxes.tolist(), scores.tolist(), strict=True):
            axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor='orange', linewidth=2))
            axis.text(x0, y0, f'{score:.2f}', color='black', backgroundcolor='orange', fontsize=7, clip_on=True)
        axis.set_axis_off()
    plt.show()


test = list(DigitScenes('val', 30))
found_before = count_found(test)
draw(test[:4])

# %%
# A few seconds of training
# -------------------------
# The config's schedule is for COCO. This training uses AdamW, a few steps of four scenes, and one learning rate.

STEPS, SCENES = 100, 4
scenes = DigitScenes('train', STEPS * SCENES)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
model.train()
losses = []
for step in range(STEPS):
    data = model.data_preprocessor(batch(scenes[i] for i in range(step * SCENES, (step + 1) * SCENES)), training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
    optimizer.step()
    losses.append(loss.item())

_, axis = plt.subplots(figsize=(6, 2.6), layout='constrained')
axis.plot(range(1, STEPS + 1), losses)
axis.set(xlabel='step', ylabel='loss', ylim=(0, None), title=f'{STEPS * SCENES} scenes, each seen once')
plt.show()

# %%
# After training
# --------------
# The network has learned where digits are, and less well how large they are. A proposal network has no classes, so
# it does not tell digits apart. ``make demo`` trains a whole Mask R-CNN for minutes, with classes and masks.

# sphinx_gallery_thumbnail_number = 3
assert count_found(test) > found_before
draw(test[:4])
folder.cleanup()
