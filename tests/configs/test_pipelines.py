"""The pipelines of the recipes give images of the sizes that their sources state."""

import copy

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, DefaultScope, init_default_scope

from tests.configs.test_recipes import CONFIGS

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    """What a dataset hands to a pipeline, for all three libraries: an image of 640x480, two boxes, a label map."""
    folder = tmp_path_factory.mktemp('picture')
    pixels = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / 'image.png'), pixels)
    # Stripes of many labels: a crop with one alone is drawn again, up to ten times.
    cv2.imwrite(str(folder / 'labels.png'), np.tile(np.arange(640, dtype=np.uint8) // 8, (480, 1)))
    boxes = ([10, 20, 200, 300], [300, 100, 500, 400])
    instances = [
        dict(bbox=[x0, y0, x1, y1], mask=[[x0, y0, x1, y0, x1, y1, x0, y1]], bbox_label=1, ignore_flag=0)
        for x0, y0, x1, y1 in boxes
    ]
    paths = dict(img_path=str(folder / 'image.png'), seg_map_path=str(folder / 'labels.png'))
    detection = dict(img_id=1, height=480, width=640, instances=instances)
    return dict(**paths, **detection, gt_label=1, seg_fields=[], label_map=None, reduce_zero_label=True)


def run_pipeline(config, pipeline, picture):
    with DefaultScope.overwrite_default_scope(config.default_scope):
        init_default_scope(config.default_scope)
        return Compose([TRANSFORMS.build(transform) for transform in pipeline])(copy.deepcopy(picture))


@pytest.mark.parametrize(
    ('name', 'train', 'test'),
    [
        ('retinanet_convmlp-s_fpn_1x_coco', (800, 1067), (800, 1067)),
        ('mask-rcnn_cyclemlp-b2_fpn_1x_coco', (800, 1067), (800, 1067)),
        ('cascade-mask-rcnn_asmlp-t_fpn_giou-4conv1fc_ms-3x_coco', None, (800, 1067)),
        ('semfpn_cyclemlp-b1_40k_ade20k-512x512', (512, 512), (512, 704)),
        ('semfpn_asmlp-t_40k_ade20k-512x512', (512, 512), (512, 704)),
        ('upernet_hiremlp-s_80k_ade20k-512x512', (512, 512), (512, 683)),
        ('asmlp-t_300e_in1k', (224, 224), (224, 224)),
        ('convmlp-s_300e_in1k', (224, 224), (224, 224)),
        ('wavemlp-t_300e_in1k', (224, 224), (224, 224)),
        ('swinmlp-tiny-c6_300e_in1k', (256, 256), (256, 256)),
    ],
)
def test_pipelines(name, train, test, picture):
    config = Config.fromfile(CONFIGS[name])
    for loader, size in ((config.train_dataloader, train), (config.val_dataloader, test)):
        pipeline = loader.dataset.pipeline
        sizes = {tuple(run_pipeline(config, pipeline, picture)['inputs'].shape[1:]) for _ in range(1 if size else 30)}
        if size:
            # Random crops of a resized image are smaller where it is.
            assert all(h <= size[0] and w <= size[1] for h, w in sizes)
            assert loader is config.train_dataloader or sizes == {size}
        else:
            assert {min(hw) for hw in sizes} <= {*range(480, 801, 32)} and len(sizes) > 10
            # Half of the images keep their shape; the others are crops of 384 to 600 pixels a side.
            assert 0 < sum(abs(w / h - 4 / 3) < 0.01 for h, w in sizes) < len(sizes)
    assert config.test_dataloader == config.val_dataloader
