"""What the documentation says in numbers is what the code gives."""

import re

import pytest

import mlp_backbones as mb
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.engine.complexity import complexity
from tests.conftest import ROOT, run

FOLDER = ROOT / 'docs' / 'families'


def rows(page):
    return re.findall(r'^\| `(\w+)` \| ([\d,]+) \| ([\d.]+) G \|', page.read_text(), re.M)


@pytest.mark.parametrize('family', FAMILIES)
def test_page_of_a_family(family):
    page = FOLDER / f'{family.lower()}.md'
    assert [name for name, *_ in rows(page)] == [n for n in mb.list_backbones() if n.startswith(f'{family.lower()}_')]
    for name, parameters, macs in rows(page):
        counted, multiply_adds = complexity(name)
        assert f'{counted:,}' == parameters and f'{multiply_adds / 1e9:.2f}' == macs


def test_pictures_are_those_that_the_script_draws(tmp_path):
    script = tmp_path / 'draw.py'
    script.write_text((FOLDER / 'draw.py').read_text())
    done = run(script)
    assert done.returncode == 0, done.stdout
    for family in FAMILIES:
        name = f'{family.lower()}.svg'
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text(), f'draw {name} again'
        assert (FOLDER / name).stat().st_size < 100_000


def test_links_between_pages_lead_somewhere():
    for page in [ROOT / 'README.md', *ROOT.glob('docs/**/*.md')]:
        for target in re.findall(r'\]\(([^)#]+)\)', page.read_text()):
            assert target.startswith('http') or (page.parent / target).exists(), f'{page.name}: {target}'


def test_the_counting_tool():
    done = run('tools/complexity.py', 'convmlp_s', '--size', '256', '128')
    assert done.returncode == 0 and '9,022,920' in done.stdout and '256x128' in done.stdout
    failed = run('tools/complexity.py', 'convmlp_x')
    assert failed.returncode == 1 and "unknown backbone 'convmlp_x', did you mean" in failed.stdout
