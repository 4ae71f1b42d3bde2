"""Rewrite ONNX graphs of opset 18 in the operators of an older version, for runtimes that ask for one.

torch's exporter writes opset 18 and newer. What changed between the versions is in ONNX's own list of operators
(Operators.md and Changelog.md of onnx/onnx); each rule names the version from which the newer form exists.
"""

from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ..errors import UserError

OLDEST = 11
NEWEST = 18


def lower_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a graph that computes the same with operators of another version.

    Args:
        model: of opset 18, with types and ranks of its values, as torch's exporter writes it.
        opset: from 11 to 18.

    Raises:
        UserError: if the version is another one, or the graph has an operator that the version lacks.
    """
    if not OLDEST <= opset <= NEWEST:
        raise UserError(f'opset={opset} is not valid: give one from {OLDEST} to {NEWEST}')
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    _Lowering(lowered.graph, opset).run()
    del lowered.opset_import[:]
    lowered.opset_import.append(helper.make_opsetid('', opset))
    lowered.ir_version = helper.find_min_ir_version_for(lowered.opset_import)
    try:
        onnx.checker.check_model(lowered, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'the graph cannot be written in opset {opset}: {reason}') from error
    return lowered


class _Lowering:
    """One pass over a graph, in which nodes are replaced until no rule applies to them."""

    def __init__(self, graph: onnx.GraphProto, opset: int):
        self.graph, self.opset, self.numbers = graph, opset, count()
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        values = [*graph.value_info, *graph.input, *graph.output]
        self.types = {value.name: value.type.tensor_type for value in values}

    def run(self) -> None:
        nodes = []
        for node in self.graph.node:
            if node.op_type == 'Constant' and node.attribute[0].name == 'value':
                self.constants[node.output[0]] = node.attribute[0].t
            nodes += self.lower(node)
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def lower(self, node: NodeProto) -> list[NodeProto]:
        if any(
            attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in node.attribute
        ):
            raise UserError(
                f'the graph cannot be written in opset {self.opset}: {node.op_type} holds a graph of its own'
            )
        for version, rule in RULES.get(node.op_type, ()):
            if self.opset < version and (found := rule(self, node)) is not None:
                return [lowered for new in found for lowered in self.lower(new)]
        return [node]

    def node(self, kind: str, inputs: Sequence[str], output: str | None = None, **attributes) -> NodeProto:
        return helper.make_node(kind, inputs, [output or f'lowered_{next(self.numbers)}'], **attributes)

    def constant(self, values: Sequence[int] | np.ndarray) -> str:
        name = f'lowered_{next(self.numbers)}'
        tensor = numpy_helper.from_array(np.asarray(values), name)
        self.graph.initializer.append(tensor)
        self.constants[name] = tensor
        return name

    def values(self, name: str, node: NodeProto) -> np.ndarray:
        """What an input holds, which the older form has as an attribute."""
        if name not in self.constants:
            raise UserError(
                f'the graph cannot be written in opset {self.opset}: {node.op_type} has a computed input where only '
                'constants are possible'
            )
        return numpy_helper.to_array(self.constants[name])

    def is_float(self, name: str) -> bool:
        kind = self.constants[name].data_type if name in self.constants else self.types[name].elem_type
        return kind in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)

    def rank(self, name: str) -> int:
        return len(self.types[name].shape.dim)


Rule = Callable[[_Lowering, NodeProto], list[NodeProto] | None]


def _attributes(node: NodeProto) -> dict:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


# Rules: a replacement, whose nodes are lowered in turn, or None where the node fits already.


def _axes_as_attribute(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
    attributes = _attributes(node)
    does_nothing = attributes.pop('noop_with_empty_axes', None)
    if len(node.input) < 2 and does_nothing is None:
        return None
    if len(node.input) > 1 and node.input[1]:
        attributes['axes'] = graph.values(node.input[1], node).tolist()
    elif does_nothing:
        return [graph.node('Identity', node.input[:1], node.output[0])]
    return [graph.node(node.op_type, node.input[:1], node.output[0], **attributes)]


def _split_as_attribute(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
    if len(node.input) < 2:
        return None
    sizes = graph.values(node.input[1], node).tolist()
    return [helper.make_node('Split', node.input[:1], node.output, **{**_attributes(node), 'split': sizes})]


def _without(*names: str) -> Rule:
    def rule(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
        kept = {key: value for key, value in _attributes(node).items() if key not in names}
        if len(kept) == len(node.attribute):
            return None
        return [helper.make_node(node.op_type, node.input, node.output, **kept)]

    return rule


def _whole_shape(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
    attributes = _attributes(node)
    if not attributes:
        return None
    first, last = attributes.get('start', 0), attributes.get('end', np.iinfo(np.int64).max)
    whole = graph.node('Shape', node.input)
    ends = [graph.constant([first]), graph.constant([last]), graph.constant([0])]
    return [whole, graph.node('Slice', [whole.output[0], *ends], node.output[0])]


def _written_out_norm(graph: _Lowering, node: NodeProto) -> list[NodeProto]:
    attributes = _attributes(node)
    x, scale, *bias = node.input
    rank = graph.rank(x)
    axis = attributes.get('axis', -1)
    axes = list(range(axis - rank if axis >= 0 else axis, 0))
    mean = graph.node('ReduceMean', [x], axes=axes)
    centred = graph.node('Sub', [x, mean.output[0]])
    square = graph.node('Mul', [centred.output[0]] * 2)
    variance = graph.node('ReduceMean', [square.output[0]], axes=axes)
    epsilon = graph.constant(np.array(attributes.get('epsilon', 1e-5), np.float32))
    shifted = graph.node('Add', [variance.output[0], epsilon])
    deviation = graph.node('Sqrt', [shifted.output[0]])
    normal = graph.node('Div', [centred.output[0], deviation.output[0]])
    scaled = graph.node('Mul', [normal.output[0], scale], None if bias else node.output[0])
    end = [graph.node('Add', [scaled.output[0], bias[0]], node.output[0])] if bias else []
    return [mean, centred, square, variance, shifted, deviation, normal, scaled, *end]


def _last_axis(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
    """Softmax before opset 13 is over all axes from its own on."""
    axis, rank = _attributes(node).get('axis', -1), graph.rank(node.input[0])
    axis %= rank
    if axis == rank - 1:
        if _attributes(node).get('axis') == axis:
            return None
        return [graph.node(node.op_type, node.input, node.output[0], axis=axis)]
    order = [*range(rank)]
    order[axis], order[-1] = order[-1], order[axis]
    moved = graph.node('Transpose', node.input, perm=order)
    graph.types[moved.output[0]] = graph.types[node.input[0]]  # its rank
    soft = graph.node(node.op_type, moved.output, axis=rank - 1)
    return [moved, soft, graph.node('Transpose', soft.output, node.output[0], perm=order)]


def _whole_numbers(comparison: str) -> Rule:
    """Max and Min take floating point numbers only before opset 12."""

    def rule(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
        if graph.is_float(node.input[0]):
            return None
        nodes, best = [], node.input[0]
        for i, other in enumerate(node.input[1:], 2):
            test = graph.node(comparison, [best, other])
            chosen = graph.node(
                'Where', [test.output[0], best, other], node.output[0] if i == len(node.input) else None
            )
            nodes += [test, chosen]
            best = chosen.output[0]
        return nodes or [graph.node('Identity', node.input, node.output[0])]

    return rule


def _negated(opposite: str) -> Rule:
    def rule(graph: _Lowering, node: NodeProto) -> list[NodeProto]:
        test = graph.node(opposite, node.input)
        return [test, graph.node('Not', test.output, node.output[0])]

    return rule


def _all_inputs(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
    """Resize needs its second and third input before opset 13, empty where they do not count."""
    inputs = [*node.input, '', ''][: max(len(node.input), 3)]
    if inputs[1] and inputs[2]:
        return None
    empty = np.zeros(0, np.float32)
    inputs[1:3] = [name or graph.constant(empty) for name in inputs[1:3]]
    return [helper.make_node('Resize', inputs, node.output, **_attributes(node))]


def _tensor_value(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
    (name, value), *_ = _attributes(node).items()
    if name == 'value':
        return None
    dtype = np.int64 if name.startswith('value_int') else np.float32
    tensor = numpy_helper.from_array(np.asarray(value, dtype))
    graph.constants[node.output[0]] = tensor
    return [graph.node('Constant', [], node.output[0], value=tensor)]


def _as_floats(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
    """Pow and Clip take floating point numbers only before opset 12."""
    return None if all(graph.is_float(name) for name in node.input if name) else _refused(graph, node)


def _without_batch(graph: _Lowering, node: NodeProto) -> list[NodeProto] | None:
    if not node.attribute:
        return None
    if _attributes(node).get('batch_dims', 0):
        return _refused(graph, node)
    return [graph.node('GatherND', node.input, node.output[0])]


def _product(graph: _Lowering, node: NodeProto) -> list[NodeProto]:
    """Write an Einsum of two tensors that sums over one letter as one MatMul; all other letters but two are a batch."""
    terms, wanted = _attributes(node)['equation'].decode().replace(' ', '').split('->')
    first, *others = terms.split(',')
    summed = {*first} - {*wanted}
    if len(others) != 1 or len(summed) != 1 or {*others[0]} - {*wanted} != summed or '.' in terms:
        return _refused(graph, node)
    rows = [letter for letter in first if letter in wanted and letter not in others[0]][-1:]
    columns = [letter for letter in others[0] if letter in wanted and letter not in first][-1:]
    batch = [letter for letter in wanted if letter not in (*rows, *columns)]
    nodes: list[NodeProto] = []

    def arranged(name: str, letters: str, axes: list[str]) -> str:
        """Order the axes of a tensor, with those that it lacks of size 1."""
        kept = [letter for letter in axes if letter in letters]
        nodes.append(graph.node('Transpose', [name], perm=[letters.index(letter) for letter in kept]))
        lacking = [i for i, letter in enumerate(axes) if letter not in letters]
        if lacking:
            nodes.append(graph.node('Unsqueeze', [nodes[-1].output[0], graph.constant(lacking)]))
        return nodes[-1].output[0]

    inner, row, column = [*summed], rows or ['row'], columns or ['column']
    left = arranged(node.input[0], first, [*batch, *row, *inner])
    right = arranged(node.input[1], others[0], [*batch, *inner, *column])
    nodes.append(graph.node('MatMul', [left, right]))
    found = [*batch, *row, *column]
    single = [i for i, letter in enumerate(found) if letter not in wanted]
    if single:
        nodes.append(graph.node('Squeeze', [nodes[-1].output[0], graph.constant(single)]))
        found = [letter for letter in found if letter in wanted]
    order = [found.index(letter) for letter in wanted]
    return [*nodes, graph.node('Transpose', nodes[-1].output, node.output[0], perm=order)]


def _refused(graph: _Lowering, node: NodeProto) -> list[NodeProto]:
    raise UserError(f'the graph cannot be written in opset {graph.opset}, which has no {node.op_type} of this kind')


REDUCTIONS = ('ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare')
# Newer forms first: a rule applies where the opset is older than its version.
RULES: dict[str, tuple[tuple[int, Rule], ...]] = {
    **dict.fromkeys(REDUCTIONS, ((18, _axes_as_attribute),)),
    'Split': ((18, _without('num_outputs')), (13, _split_as_attribute)),
    'Resize': ((18, _without('antialias', 'keep_aspect_ratio_policy')), (13, _all_inputs)),
    'LayerNormalization': ((17, _written_out_norm),),
    'ScatterElements': ((16, _without('reduction')),),
    'ScatterND': ((16, _without('reduction')),),
    'RoiAlign': ((16, _refused),),
    'Shape': ((15, _whole_shape),),
    # A size of 0 is kept from the input there; a graph has one only where it finds no object.
    'Reshape': ((14, _without('allowzero')),),
    'BatchNormalization': ((14, _without('training_mode')),),
    'Squeeze': ((13, _axes_as_attribute),),
    'Unsqueeze': ((13, _axes_as_attribute),),
    'ReduceSum': ((13, _axes_as_attribute),),
    'Softmax': ((13, _last_axis),),
    'LogSoftmax': ((13, _last_axis),),
    'Constant': ((12, _tensor_value),),
    'Max': ((12, _whole_numbers('Greater')),),
    'Min': ((12, _whole_numbers('Less')),),
    'GreaterOrEqual': ((12, _negated('Less')),),
    'LessOrEqual': ((12, _negated('Greater')),),
    'ArgMax': ((12, _without('select_last_index')),),
    'Einsum': ((12, _product),),
    'GatherND': ((12, _without_batch),),
    'Pow': ((12, _as_floats),),
    'Clip': ((12, _as_floats),),
}
