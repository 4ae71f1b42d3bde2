"""
Swap the backbone of a stock config
===================================

mmdet's own config of a region proposal network gets a CycleMLP in place of its ResNet-50, by four lines. Then a
slim one is trained for a few seconds on scenes of digits, and shows what it has learned by then.
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
# Not a line for each weight that is initialised.
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
# ``_delete_`` drops what was said of the ResNet, its weights from torchvision among it, and the neck is told
# the widths of the new outputs. All else is as mmdet has it: anchors, losses, data, schedule.

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
# The same swap with widths and depths of one's own, and a neck and head to match: what one processor core trains in
# seconds. The larger initial weights are for so short a training. Digits overlap little, so that of two boxes that do
# one is enough.

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
    """Scenes as mmdet's models take them: BGR images ``[3, 192, 192]``, and a sample for each with its boxes."""
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
# The boxes with the highest scores are arbitrary. White is where the digits are, orange what the network proposes: as
# many boxes as there are digits, those of the highest scores. A digit counts as found where such a box overlaps it by
# half (intersection over union). All these scenes have other handwriting than those that it will be trained on.


@torch.no_grad()
def propose(scenes):
    """The boxes of the highest scores, and their scores, for each scene: as many as it has digits."""
    model.eval()
    for scene in scenes:
        (result,) = model.test_step(batch([scene]))
        best = result.pred_instances[: len(scene.labels)]
        yield best.bboxes, best.scores


def count_found(scenes):
    """Prints and returns how many of the digits a box overlaps by half."""
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
# The config's schedule is for COCO: here AdamW takes a few steps of four scenes with one learning rate.

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
# After it
# --------
# The network has learned where digits are, though not well how large they are, and nothing of which digit it is: a
# proposal network has no classes. ``make demo`` trains a whole Mask R-CNN for minutes, with classes and masks.

# sphinx_gallery_thumbnail_number = 3
assert count_found(test) > found_before
draw(test[:4])
folder.cleanup()
