"""The floors of docs/architecture.md: imports point down, there is no circle, and a family is one file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlp_backbones

PACKAGE = Path(mlp_backbones.__file__).parent
# From the ground up.
FLOORS = (
    {'version', 'errors', 'moved'},
    {'compat', 'files', 'recipes', 'registry'},
    {'ops', 'drawing'},
    {'layers'},
    {'checkpoints'},
    {'backbones'},
    {'datasets', 'engine'},
    {'apis'},
    {'analysis'},
    {'utils', '__init__', '__main__'},
)
# Imports inside a function, each with its reason; none of them avoids a circle.
INSIDE = {
    ('ops/norm.py', 'mlp_backbones.ops.triton'),  # Triton is optional
    ('ops/shift.py', 'mlp_backbones.ops.triton'),
    ('__init__.py', 'mlp_backbones.apis.swap'),  # `import mlp_backbones` takes torch and mmengine only
    ('apis/export.py', 'mlp_backbones.apis.opsets'),  # onnx is optional
    ('apis/prepare.py', 'mlp_backbones.datasets'),  # scikit-learn is optional
}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules of this package that a file imports, and whether inside a function."""
    parts = ('mlp_backbones', *path.relative_to(PACKAGE).parts)
    tree = ast.parse(path.read_text())
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else ()
            module = '.'.join((*base, *filter(None, [node.module])))
            names = [f'{module}.{alias.name}' for alias in node.names] if node.module is None else [module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from ((name, id(node) in inside) for name in names if name.split('.')[0] == 'mlp_backbones')


def floor(name: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if name in rooms)


FILES = sorted(PACKAGE.rglob('*.py'))


@pytest.mark.parametrize('path', FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_imports_point_down(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    for module, inside in imports(path):
        target = [*module.split('.'), '__init__'][1]
        assert floor(target) < floor(room) or target == room, f'{path} imports {module}'
        assert not inside or (str(path.relative_to(PACKAGE)), module) in INSIDE, (
            f'{path} imports {module} in a function'
        )
