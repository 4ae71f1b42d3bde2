"""Put configs, tools and metafiles into the wheel, in OpenMMLab's folder `.mim`; the metadata is in pyproject.toml."""

from pathlib import Path
from shutil import copytree, ignore_patterns, rmtree

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the package finds them in the clone
            return
        target = Path(self.build_lib, 'mlp_backbones', '.mim')
        rmtree(target, ignore_errors=True)  # of a build before
        for name in ('configs', 'tools'):
            copytree(name, target / name, ignore=ignore_patterns('__pycache__'))
        self.copy_file('model-index.yml', str(target))


setup(cmdclass=dict(build_py=BuildWithRecipes))
