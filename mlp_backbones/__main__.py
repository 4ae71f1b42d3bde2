"""``python -m mlp_backbones COMMAND``: the zoo, and the tools of a clone or of the installed package."""

import argparse
import ast
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from .apis import swap, zoo
from .errors import UserError
from .recipes import recipes_folder

PROGRAM = 'python -m mlp_backbones'


def main() -> None:
    try:
        tools = {path.stem: path for path in sorted((recipes_folder() / 'tools').glob('*.py'))}
        if sys.argv[1:] and sys.argv[1].replace('-', '_') in tools:
            _run_tool(tools[sys.argv[1].replace('-', '_')])
            return
        parser = argparse.ArgumentParser(prog=PROGRAM, description='Train, test and use the backbones.')
        commands = parser.add_subparsers(metavar='COMMAND', required=True)
        zoo.add_arguments(commands.add_parser('zoo', help='Print every config with its known results, as tables.'))
        swap.add_arguments(commands.add_parser('swap', help='Put a backbone into a config of another library.'))
        for name, path in tools.items():
            aliases = [name.replace('_', '-')] if '_' in name else []
            commands.add_parser(name, aliases=aliases, help=ast.get_docstring(ast.parse(path.read_text())))
        args = parser.parse_args()
        args.run(args)
    except UserError as error:
        sys.exit(f'error: {error}')


def _run_tool(path: Path) -> None:
    """Run a tool as a script would, with its own arguments; its help shows how it was called."""
    spec = spec_from_file_location(f'mlp_backbones.tools.{path.stem}', path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.argv = [f'{PROGRAM} {sys.argv[1]}', *sys.argv[2:]]
    module.main()


if __name__ == '__main__':
    main()
