"""Networks of other libraries and papers: their numbers are those of the sources, their counts those of the tool."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mlp_backbones.analysis.complexity import build_meta, model_complexity
from mlp_backbones.apis.stock import find_config
from mlp_backbones.apis.zoo import REFERENCES, load_references, load_zoo, tabulate
from tests.conftest import ROOT

MODELS = {model['Name']: model for model in yaml.safe_load((ROOT / REFERENCES).read_text())['Models']}
PROJECTS = dict(mmdetection='mmdet', mmsegmentation='mmseg', mmpretrain='mmpretrain')
# One of each way to count: a whole config, a backbone of the same library, and one of another.
COUNTED = ['mask-rcnn_r50_fpn_1x_coco', 'mask-rcnn_pvt-s_fpn_1x_coco', 'fpn_pvt-s_40k_ade20k-512x512']

COUNTED_SLOWLY = [
    *('retinanet_pvtv2-b2_fpn_1x_coco', 'cascade-mask-rcnn_swin-s_fpn_ms-3x_coco', 'fpn_r101_80k_ade20k-512x512'),
    *('convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512', 'poolformer-m48_32xb128_in1k'),
]


def counted(model: dict) -> tuple[int, int]:
    """Return (parameters, MACs) of a reference, from the configs of the installed libraries.

    Its first config, which has the head, gets the backbone of the second one, if it names two.
    """
    names = model.get('Counted', [model['Config']])
    config, *others = (Config.fromfile(find_config(name, ROOT / 'configs')[0]) for name in names)
    for other in others:
        backbone = dict(other.model.backbone)
        if '.' not in backbone['type']:
            backbone['type'] = f'{other.default_scope}.{backbone["type"]}'
        config.model.backbone = backbone
        if 'neck' in other.model:
            config.model.neck.in_channels = other.model.neck.in_channels
    return model_complexity(build_meta(config), tuple(model['Metadata']['Input Size']))


def library_models(library: str, folder: str) -> dict[str, dict]:
    (path,) = Path(find_spec(library).origin).parent.joinpath('.mim', 'configs', folder).glob('metafile.y*ml')
    content = yaml.safe_load(path.read_text())
    return {model['Name']: model for model in (content['Models'] if isinstance(content, dict) else content)}


def test_numbers_are_those_of_the_installed_metafiles():
    quoted = 0
    for model in MODELS.values():
        (result,) = model['Results']
        found = re.fullmatch(r'(\w+) metafile, configs/(\w+), (\S+)', result['Source'])
        if not found:  # a paper or a README
            assert 'Weights' not in model and re.search(r'arXiv \d{4}\.\d{5}|README', result['Source'])
            continue
        source = library_models(PROJECTS[found[1]], found[2])[found[3]]
        results = source['Results'] if isinstance(source['Results'], list) else [source['Results']]
        metrics = {name.replace('U(', 'U ('): value for one in results for name, value in one['Metrics'].items()}
        assert result['Metrics'] == metrics, model['Name']
        # The libraries' two lines have one file on two hosts.
        assert Path(model['Weights']).name == Path(source['Weights']).name
        assert model['Config'].startswith(f'{PROJECTS[found[1]]}::{found[2]}/')
        quoted += 1
    assert quoted > 40


@pytest.mark.parametrize('name', [*COUNTED, *(pytest.param(name, marks=pytest.mark.slow) for name in COUNTED_SLOWLY)])
def test_counts_are_those_of_the_tool(name):
    meta = MODELS[name]['Metadata']
    assert counted(MODELS[name]) == (meta['Parameters'], meta['FLOPs'])


def test_one_network_has_one_count():
    """The same head on the same backbone, however it was trained, costs the same."""
    found: dict[tuple, set] = {}
    for row in load_references(ROOT):
        found.setdefault((row.head, row.backbone, row.size), set()).add((row.parameters, row.macs))
    assert {key: counts for key, counts in found.items() if len(counts) > 1} == {}


def test_they_stand_beside_ours_and_apart_from_them():
    """Each has a table with configs of this package; links lead to the code, and names are no configs of ours."""
    zoo, references = load_zoo(ROOT), load_references(ROOT)
    assert {row.table for row in references} <= {row.table for row in zoo}
    assert not {row.name for row in references} & {row.name for row in zoo}
    for row in references:
        assert (
            row.reference and row.paper.startswith('https://arxiv.org/abs/') and row.link('..').startswith('https://')
        )
    assert not any(row.reference for row in zoo) and all(row.link('..') == f'../{row.config}' for row in zoo)
    (rows,) = tabulate(zoo + references, family='resnet', head='RetinaNet').values()
    assert [(row.backbone, row.metrics['box AP']) for row in rows] == [('resnet101', 38.5), ('resnet50', 36.5)]
