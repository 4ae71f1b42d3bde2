"""Configure Sphinx for the documentation site, which build.py builds.

The source folder is the root of the repository, see _ext/repository.py.
"""

import sys
from pathlib import Path

from mmengine.logging import MMLogger

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / 'docs' / '_ext'))
about: dict = {}
exec((ROOT / 'mlp_backbones' / 'version.py').read_text(), about)

project = 'mlp_backbones'
release = about['__version__']
html_title = f'mlp_backbones {release}'
root_doc = 'README'
include_patterns = [
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'benchmarks/README.md',
    'benchmarks/results/README.md',
    'docs/**',
]
# Sphinx would walk through the first ones.
exclude_patterns = [
    *('.*', 'build', 'configs', 'data', 'dist', 'mlp_backbones', 'requirements', 'tests', 'tools', 'work_dirs'),
    *('docs/_*', 'docs/gallery'),
]
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    'repository',
]
# `make docs-fast` leaves out the gallery, which runs its scripts.
if tags.has('fast'):  # noqa: F821
    exclude_patterns.append('docs/examples')
else:
    extensions.insert(-1, 'sphinx_gallery.gen_gallery')

myst_heading_anchors = 4

# References to torch, mmengine and Python are not resolved: the build has no network.
nitpicky = True
nitpick_ignore_regex = [('py:.*', r'(collections|mmengine|numpy|onnx|pathlib|re|rich|torch)\..*')]
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
autodoc_member_order = 'bysource'
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True

highlight_language = 'text'  # of blocks that name none
html_theme = 'furo'
html_static_path = ['_static']
html_css_files = ['site.css']
html_copy_source = html_show_copyright = html_show_sourcelink = False
pygments_style, pygments_dark_style = 'default', 'github-dark'

# The gallery shows printed output, not the log.
MMLogger.get_instance('docs', log_level='WARNING')
sphinx_gallery_conf = dict(
    examples_dirs='docs/gallery',
    gallery_dirs='docs/examples',
    filename_pattern='/plot_',
    download_all_examples=False,
    show_memory=False,
    show_signature=False,
    thumbnail_size=(640, 230),
    within_subsection_order='repository.GalleryOrder',
    write_computation_times=False,
    remove_config_comments=True,
    abort_on_example_error=True,
)
