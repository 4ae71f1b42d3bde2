"""Segmentors as graphs of any size give what the library's `predict` does."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mlp_backbones.apis.export import export_graph
from mlp_backbones.apis.segmentor_graph import SegmentorGraph, with_open_sizes
from mlp_backbones.errors import UserError

WIDTHS = [8, 12, 16, 20]


class Strided(nn.ModuleList):
    """A backbone that takes no time: graphs of ours have tests of their own."""

    def __init__(self):
        super().__init__(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip([3, *WIDTHS], WIDTHS, strict=False))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x := conv(x) for conv in self]


COMMON = dict(channels=16, num_classes=4, norm_cfg=dict(type='BN'), align_corners=False, in_index=[0, 1, 2, 3])
HEADS = {
    'UPerHead': dict(in_channels=WIDTHS, pool_scales=(1, 2, 3, 6)),
    'FPNHead': dict(in_channels=WIDTHS, feature_strides=[4, 8, 16, 32]),
    'PSPHead': dict(in_channels=20, in_index=3, pool_scales=(1, 2, 3, 6)),
}


def segmentor(head: str, **options) -> nn.Module:
    init_default_scope('mmseg')
    torch.manual_seed(0)
    decode = dict(COMMON, type=head, **{**HEADS[head], **options})
    config = dict(backbone=dict(type=Strided), decode_head=decode, train_cfg=dict(), test_cfg=dict(mode='whole'))
    return MODELS.build(dict(type='EncoderDecoder', **config)).eval()


@pytest.mark.slow
@pytest.mark.newer
@pytest.mark.parametrize('head', ['UPerHead', 'FPNHead'])
def test_exported_program_takes_any_size(head):
    graph = SegmentorGraph(segmentor(head)).eval().double()
    graph.original[0].double()
    free = torch.export.Dim.DYNAMIC
    example = torch.randn(2, 3, 70, 93, dtype=torch.float64)
    program = torch.export.export(graph, (example,), dynamic_shapes=({0: free, 2: free, 3: free},)).module()
    for size in (1, 3, 64, 160), (3, 3, 131, 67), (2, 3, 37, 41):
        x = torch.randn(size, dtype=torch.float64)
        assert graph.difference(x, (program(x),)) < 1e-12


@pytest.mark.parametrize('classes', [1, 4])
def test_labels(classes):
    options = dict(num_classes=classes, **(dict(threshold=0.4) if classes == 1 else {}))
    graph = SegmentorGraph(segmentor('FPNHead', **options), argmax=True).eval()
    x = torch.randn(2, 3, 64, 96)
    labels = graph(x)
    assert labels.shape == (2, 64, 96) and labels.dtype == torch.int64 and len(labels.unique()) > 1
    assert graph.difference(x, (labels,)) == 0
    assert graph.difference(x, (labels + 1,)) == 1


def test_poolings_of_any_grid():
    pools = nn.Sequential(nn.AdaptiveAvgPool2d(5), nn.AdaptiveAvgPool2d((2, None)))
    x = torch.randn(2, 3, 17, 11, dtype=torch.float64)
    torch.testing.assert_close(with_open_sizes(pools)(x), pools(x), rtol=1e-12, atol=1e-12)
    assert isinstance(pools[0], nn.AdaptiveAvgPool2d)


@pytest.mark.slow
@pytest.mark.newer
def test_onnx_file_takes_any_size(tmp_path):
    assert export_graph(SegmentorGraph(segmentor('PSPHead')), tmp_path / 'x.onnx', size=(96, 128)) < 1e-4


def test_another_kind_is_refused():
    with pytest.raises(UserError, match='Sequential'):
        SegmentorGraph(nn.Sequential())
