"""Files in int8, and files of older opsets, compute what the file in float32 does."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from mlp_backbones.apis.config import build_model
from mlp_backbones.apis.export import PlainGraph, RawGraph, export_graph
from mlp_backbones.apis.opsets import lower_opset
from mlp_backbones.apis.quantize import calibration_inputs, quantize_graph
from mlp_backbones.errors import UserError


def outputs(file, x):
    return torch.from_numpy(onnxruntime.InferenceSession(file).run(None, {'images': x})[0])


def test_products_compute_in_int8(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 1), nn.Softmax(1)).eval()
    whole, small = tmp_path / 'whole.onnx', tmp_path / 'small.onnx'
    export_graph(net, whole, (16, 24), opset=13)
    sizes = [(1, 3, 16, 24), (1, 3, 31, 20)]
    quantize_graph(
        whole, small, (np.random.default_rng(i).standard_normal(size, np.float32) for i, size in enumerate(sizes))
    )
    x = np.random.default_rng(9).standard_normal((2, 3, 40, 33), np.float32)
    wanted, found = outputs(whole, x), outputs(small, x)
    assert 1e-4 < (wanted - found).norm() / wanted.norm() < 0.05
    model = onnx.load(small)
    assert {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4} == {TensorProto.INT8}
    with pytest.raises(UserError, match='there are no calibration images'):
        quantize_graph(whole, tmp_path / 'none.onnx', [])
    assert not (tmp_path / 'none.onnx').exists()


def test_calibration_images_are_those_of_the_test_pipeline(digits_config, workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    config = digits_config('convmlp_maskrcnn_digits')
    model = build_model(config)
    folder = str(workspace / 'data' / 'digit_scenes' / 'images' / 'val')
    graph = RawGraph(PlainGraph(model.backbone), model.data_preprocessor, 'rgb')
    raw = list(calibration_inputs(config, model, graph, folder))
    normal = list(calibration_inputs(config, model, PlainGraph(model.backbone), folder))
    assert len(raw) == len(normal) > 0 and raw[0].dtype == np.uint8
    wanted = graph.normalise(torch.from_numpy(raw[0]))
    torch.testing.assert_close(torch.from_numpy(normal[0])[:, :, : wanted.shape[2], : wanted.shape[3]], wanted)
    with pytest.raises(UserError, match='no file matches it'):
        list(calibration_inputs(config, model, graph, folder + '/gone'))


def graph_of(nodes, shapes, given, opset=18):
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    *inputs, output = values.values()
    graph = helper.make_graph(nodes, 'g', inputs, [output], initializer=given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=10)


@pytest.mark.parametrize('equation', ['nc,ehc->enh', 'enh,ech->enc', 'enc,ne->nc', 'ab,bc->ca', 'abc,acd->abd'])
def test_einsum_in_an_older_opset(equation):
    sides = dict(n=3, c=4, e=2, h=5, a=3, b=2, d=7)
    first, second, out = equation.replace('->', ',').split(',')
    shapes = {name: [sides[letter] for letter in term] for name, term in (('x', first), ('y', second), ('z', out))}
    model = graph_of([helper.make_node('Einsum', ['x', 'y'], ['z'], equation=equation)], shapes, [])
    x, y = (np.random.default_rng(0).standard_normal(shapes[name]).astype(np.float32) for name in 'xy')
    session = onnxruntime.InferenceSession(lower_opset(model, 11).SerializeToString())
    np.testing.assert_allclose(session.run(None, dict(x=x, y=y))[0], np.einsum(equation, x, y), rtol=1e-5, atol=1e-6)


def test_what_an_opset_lacks_is_refused_by_name():
    kernel = helper.make_tensor('axes', TensorProto.INT64, [1], [1])
    grid = helper.make_node('GridSample', ['x', 'y'], ['z'])
    model = graph_of([grid], dict(x=[1, 2, 4, 4], y=[1, 3, 3, 2], z=[1, 2, 3, 3]), [kernel])
    lower_opset(model, 16)
    with pytest.raises(UserError, match='cannot be written in opset 15: No Op registered for GridSample'):
        lower_opset(model, 15)
    with pytest.raises(UserError, match='opset=10 is not valid: give one from 11 to 18'):
        lower_opset(model, 10)
