"""Build one site from the repository: its Markdown, the renderings, linked files, and a check of links.

The site has the layout of the repository, whose root is Sphinx's source folder: a relative link has the same target on
the site and on a code host. Renderings of docs/build.py are not in the repository. A page includes one by a comment,
`<!-- built: NAME.md -->` or `<!-- built: NAME.svg ALT TEXT -->`, which a code host does not show. SVG files become part
of the page and take its colours. A linked file of code becomes a page with its lines; folders of results are copied.
"""

import os
import re
import shutil
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.highlighting import PygmentsBridge
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

LOGGER = logging.getLogger(__name__)
RENDERED = 'docs/_build/rendered'  # written by docs/build.py, in the folders of the repository
BUILT = re.compile(r'^<!-- built: (\S+?\.(md|svg)) ?(.*?) -->$', re.M)
# The page of the leaderboard links to configs and results as files.
COPIED = ('benchmarks/leaderboard/results', 'benchmarks/results', 'configs')
LEXERS = {'.py': 'python', '.sh': 'bash', '.yml': 'yaml'}
# README.md is the first page. Code hosts also show it, so its table of contents is defined in this file.
PARTS = {
    'Use': (
        'docs/install',
        'docs/swap',
        'docs/use_in_configs',
        'docs/from_timm',
        'docs/own_data',
        'docs/data',
        'docs/tools',
        'docs/weights',
        'docs/what_works',
        'docs/checkpoints',
        'docs/distributed',
        'docs/export',
        'docs/practical',
        'docs/examples/index',
    ),
    'Networks': (
        'docs/choosing',
        'docs/zoo',
        'docs/families/activemlp',
        'docs/families/asmlp',
        'docs/families/cmt',
        'docs/families/convmlp',
        'docs/families/cyclemlp',
        'docs/families/gmlp',
        'docs/families/hiremlp',
        'docs/families/mlpmixer',
        'docs/families/msmlp',
        'docs/families/raftmlp',
        'docs/families/ramlp',
        'docs/families/resmlp',
        'docs/families/shiftvit',
        'docs/families/sparsemlp',
        'docs/families/spiralmlp',
        'docs/families/swinmlp',
        'docs/families/visionpermutator',
        'docs/families/wavemlp',
        'docs/recipes',
    ),
    'Measured': (
        'docs/leaderboard',
        'docs/performance',
        'benchmarks/README',
        'benchmarks/results/README',
    ),
    'The package': (
        'docs/api/index',
        'docs/architecture',
        'docs/adding_a_family',
        'CONTRIBUTING',
        'CHANGELOG',
        'All pages <docs/README>',
    ),
}
GALLERY = (
    'plot_swap_the_backbone.py',
    'plot_load_official_weights.py',
    'plot_export_to_onnxruntime.py',
    'plot_torchvision_detector.py',
)


class GalleryOrder:
    """Sort the scripts in reading order; sphinx-gallery instantiates it with their folder."""

    def __init__(self, folder: str):
        pass

    def __call__(self, name: str) -> int:
        return GALLERY.index(name)


def setup(app: Sphinx) -> dict:
    app.connect('source-read', add_contents)
    app.connect('source-read', include_rendered)
    app.add_transform(LinksToFiles)
    app.connect('html-collect-pages', pages_of_files)
    app.connect('build-finished', finish)
    return dict(parallel_read_safe=False, version='1')


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == app.config.root_doc:
        for caption, names in PARTS.items():
            entries = '\n'.join(name for name in names if name != 'docs/examples/index' or not app.tags.has('fast'))
            source[0] += f'\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n'


def rendered(root: Path, docname: str, target: str) -> Path:
    """Return the path of a rendering, by its path from the page."""
    return root / RENDERED / Path(os.path.normpath(Path(docname).parent / target))


def include_rendered(app: Sphinx, docname: str, source: list[str]) -> None:
    def content(found: re.Match) -> str:
        path = rendered(Path(app.srcdir), docname, found[1])
        if not path.is_file():
            raise ExtensionError(f'{docname} includes {path}, which is missing: build the site with docs/build.py')
        if found[2] == 'svg':
            return f'![{found[3]}]({found[1]})'
        # A whole page becomes a section of this one.
        return re.sub('^#', '##', path.read_text(), flags=re.M) if found[3] == 'section' else path.read_text()

    source[0] = BUILT.sub(content, source[0])


class LinksToFiles(SphinxTransform):
    """Resolve links to other files than Markdown: to a page with the file or folder, its copy, or the gallery."""

    # Before Sphinx treats the files as downloads, and before MyST looks for pages.
    default_priority = 1

    def apply(self, **kwargs: object) -> None:
        root = Path(self.app.srcdir)
        for image in [*self.document.findall(nodes.image)]:
            path = root / Path(self.env.docname).parent / image['uri']
            path = path if path.is_file() else rendered(root, self.env.docname, image['uri'])
            if path.suffix == '.svg' and path.is_file():
                label = escape(image.get('alt', ''), quote=True)
                drawing = path.read_text().replace('<svg ', f'<svg role="img" aria-label="{label}" ', 1)
                html = f'<div class="drawing">{drawing}</div>'
                image.replace_self(nodes.raw('', html, format='html'))
        for kind in (addnodes.download_reference, addnodes.pending_xref):
            for node in [*self.document.findall(kind)]:
                target, _, anchor = node['reftarget'].partition('#')
                if node.get('reftype') != 'myst' or node.get('refdomain') or not target:
                    continue
                path = (root / Path(self.env.docname).parent / target).resolve()
                built = rendered(root, self.env.docname, target)
                if built.is_file():
                    name = uri = built.relative_to(root / RENDERED).as_posix()
                elif not path.exists():
                    continue
                elif (name := path.relative_to(root).as_posix()).startswith('docs/gallery/') and not self.app.tags.has(
                    'fast'
                ):
                    uri = f'docs/examples/{path.stem}.html'
                elif name.startswith(tuple(f'{folder}/' for folder in COPIED)) and path.suffix not in LEXERS:
                    uri = name
                else:
                    uri = f'{name}.html'
                    linked_files(self.app).add(name)
                uri = relative_uri(self.app.builder.get_target_uri(self.env.docname), uri)
                uri += f'#{anchor}' if anchor else ''
                node.replace_self(nodes.reference('', '', *node.children, refuri=uri, internal=True))


def linked_files(app: Sphinx) -> set[str]:
    if not hasattr(app.env, 'linked_files'):
        app.env.linked_files = set()
    return app.env.linked_files


def pages_of_files(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    bridge = PygmentsBridge('html', app.config.pygments_style)
    for name in sorted(linked_files(app)):
        path = Path(app.srcdir, name)
        if path.is_dir():
            files = sorted(file.relative_to(path).as_posix() for file in path.iterdir())
            links = ''.join(f'<li><a href="{Path(name).name}/{escape(file)}">{escape(file)}</a></li>' for file in files)
            body = f'<ul>{links}</ul>'
        else:
            body = bridge.highlight_block(path.read_text(), LEXERS.get(path.suffix, 'text'))
        yield name, dict(title=name, body=f'<h1>{escape(name)}</h1>{body}'), 'page.html'


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.name != 'html':
        return
    site = Path(app.outdir)
    shutil.copy(site / f'{app.config.root_doc}.html', site / 'index.html')
    for folder in COPIED:
        if Path(app.srcdir, folder).is_dir():
            ignored = shutil.ignore_patterns('__pycache__')
            shutil.copytree(Path(app.srcdir, folder), site / folder, ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(Path(app.srcdir, RENDERED), site, dirs_exist_ok=True)
    # In a clone the page links to Markdown; on the site it links to the page made from it.
    page = site / 'docs' / 'leaderboard' / 'index.html'
    page.write_text(re.sub(r'(href="\.\./[^":]*)\.md"', r'\1.html"', page.read_text()))
    for fault in broken_links(site):
        LOGGER.warning(fault)


class Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {'', 'top'}
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ('href', 'src') and tag != 'base' and value:
                self.links.append(value)
            elif name in ('id', 'name') and value:
                self.anchors.add(value)


def broken_links(site: Path) -> Iterator[str]:
    """Yield a sentence for each broken link within the site."""
    pages = {path.resolve(): Page(path) for path in site.rglob('*.html')}
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            where = f'{path.relative_to(site.resolve())}: {link}'
            if not target.is_file():
                yield f'{where} has no target file'
            # viewcode links all names of a module to the package that documents the first one.
            elif '_modules' in path.parts:
                continue
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f'{where} has no target in that page'
