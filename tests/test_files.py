"""Writing is whole or not at all: with other writers, after killed ones, on a full disk, and over what is no file."""

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mlp_backbones.errors import UserError
from mlp_backbones.files import atomic_file, atomic_folder, check_output, write_text
from tests.conftest import ROOT

# Without torch, which takes seconds.
LOAD = f"""
import importlib.util, sys, types
package = types.ModuleType('mlp_backbones')
package.__path__ = [{str(ROOT / 'mlp_backbones')!r}]
sys.modules['mlp_backbones'] = package
from mlp_backbones.files import atomic_file, atomic_folder, write_text
"""


def start(code, *arguments):
    command = [sys.executable, '-c', LOAD + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


WRITER = """
from pathlib import Path
kind = atomic_folder if sys.argv[2] == 'folder' else atomic_file
with kind(sys.argv[1]) as path:
    ((path / 'x') if path.is_dir() else path).write_text('theirs')
    print('ready', flush=True)
    input()
"""


def read(target):
    return (target / 'x').read_text() if target.is_dir() else target.read_text()


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_a_living_writer_keeps_its_work_and_a_killed_ones_is_removed(tmp_path, kind):
    target, make = tmp_path / 'x.json', atomic_file if kind == 'file' else atomic_folder
    living, killed = start(WRITER, target, kind), start(WRITER, target, kind)
    for process in (living, killed):
        assert process.stdout.readline() == 'ready\n'
    killed.kill()
    killed.wait()
    assert len(names(tmp_path)) == 2
    writer = make(target)
    writer.__enter__()
    assert len(names(tmp_path)) == 2  # the living one's and this one
    assert not writer.__exit__(ValueError, ValueError(), None)
    assert not target.exists() and len(names(tmp_path)) == 1
    living.communicate('\n')
    assert living.returncode == 0
    assert names(tmp_path) == ['x.json'] and read(target) == 'theirs'


def test_two_writers_at_once(tmp_path):
    code = """
    for i in range(300):
        write_text(sys.argv[1], sys.argv[2] * 10000)
    """
    processes = [start(code, tmp_path / 'x', letter) for letter in 'aabb']
    assert [process.wait(60) for process in processes] == [0] * 4
    assert names(tmp_path) == ['x'] and (tmp_path / 'x').read_text() in ('a' * 10000, 'b' * 10000)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    (tmp_path / 'x').write_text('old')
    code = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        write_text(sys.argv[1], 'new' * 1000)
    except OSError as error:
        print(error.errno)
    """
    done = start(code, tmp_path / 'x').communicate()[0]
    assert done.strip().isdigit()
    assert (tmp_path / 'x').read_text() == 'old' and names(tmp_path) == ['x']


def test_an_error_in_the_block_leaves_the_old_file(tmp_path):
    (tmp_path / 'x').write_text('old')
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / 'x', 'new \ud800')
    assert (tmp_path / 'x').read_text() == 'old' and names(tmp_path) == ['x']


@pytest.mark.parametrize('make', [atomic_file, atomic_folder])
def test_what_is_no_file_or_folder_is_refused_and_stays(tmp_path, make):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').write_text('mine')
    os.mkfifo(tmp_path / 'fifo')
    (tmp_path / 'link').symlink_to('file')
    (tmp_path / 'folder_link').symlink_to('folder')
    (tmp_path / 'dangling').symlink_to('nowhere')
    (tmp_path / 'device').symlink_to('/dev/null')
    targets = [tmp_path / name for name in ('fifo', 'link', 'folder_link', 'dangling', 'device')]
    targets += ['/dev/null', tmp_path / 'folder' if make is atomic_file else tmp_path / 'file', tmp_path / 'file' / 'x']
    before = names(tmp_path)
    for target in targets:
        with pytest.raises(UserError, match=f'{os.path.basename(target)}: ') as refused, make(target):
            pytest.fail(f'{target} was accepted')
        assert '\n' not in str(refused.value)
    assert names(tmp_path) == before and (tmp_path / 'file').read_text() == 'mine'
    assert stat.S_ISCHR(os.stat('/dev/null').st_mode) and (tmp_path / 'fifo').is_fifo()


def test_permissions_are_kept_and_else_follow_the_mask(tmp_path):
    (tmp_path / 'x').touch(0o640)
    (tmp_path / 'x').chmod(0o640)
    before = os.umask(0o027)
    try:
        write_text(tmp_path / 'x', 'new')
        write_text(tmp_path / 'y', 'new')
        with atomic_folder(tmp_path / 'z'):
            pass
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in 'xyz'] == [0o640, 0o640, 0o750]


@pytest.mark.parametrize('name', ['x' * 255, 'ü' * 127, '文' * 85, 'a b\n*[x]', '.hidden', 'x.partial'])
def test_names(tmp_path, name):
    write_text(tmp_path / 'new' / name, 'text')
    with atomic_folder(tmp_path / 'folder' / name) as folder:
        (folder / 'y').write_text('text')
    assert names(tmp_path / 'new') == names(tmp_path / 'folder') == [name]


@pytest.mark.parametrize(
    ('name', 'word'), [('x' * 256, '256'), ('文' * 86, '258'), ('a\0b', 'NUL'), ('\ud800', 'half')]
)
def test_names_that_no_file_can_have(tmp_path, name, word):
    with pytest.raises(UserError, match=word):
        write_text(tmp_path / name, 'text')
    assert names(tmp_path) == []


def test_files_of_the_user_are_no_leftovers(tmp_path):
    mine = ['.x.mine.partial', '.x.partial', '.x.0123456789abcdeg.partial', '.x.y.0123456789abcdef.partial']
    for name in mine:
        (tmp_path / name).touch()
    (tmp_path / '.x.0123456789abcdef.partial').touch()
    write_text(tmp_path / 'x', 'text')
    assert names(tmp_path) == sorted([*mine, 'x'])


TOOLS = [
    ('convert_checkpoint.py', ['{weights}', '{target}.pth'], '.pth'),
    ('export.py', ['convmlp_s', '{target}.onnx'], '.onnx'),
    ('new_config.py', ['cyclemlp_upernet_digits', '--data', 'data', '-o', '{target}.py'], '.py'),
    ('test.py', ['cyclemlp_maskrcnn_digits', '{weights}', '--out', '{target}.pkl'], '.pkl'),
]


@pytest.mark.parametrize(('tool', 'arguments', 'suffix'), TOOLS)
def test_no_tool_replaces_a_file_or_what_is_no_file(tmp_path, run_here, tool, arguments, suffix):
    make = dict(fifo=os.mkfifo, link=lambda path: path.symlink_to(tmp_path / 'nowhere'), file=Path.touch)
    for kind, sentence in dict(fifo='it is a', link='it is a link', file='--force').items():
        target = tmp_path / f'{kind}{suffix}'
        make[kind](target)
        given = [part.format(weights=tmp_path / 'x.pth', target=tmp_path / kind) for part in arguments]
        done = run_here(ROOT / 'tools' / tool, *given, cwd=tmp_path)
        assert done.returncode == 1 and target.name in done.stdout, done.stdout
        assert sentence in done.stdout
        assert len(done.stdout.strip().splitlines()) == 1
        assert target.is_fifo() if kind == 'fifo' else target.is_symlink() == (kind == 'link')
        target.unlink()
    assert names(tmp_path) == []


def test_force_replaces_only_a_regular_file(tmp_path):
    (tmp_path / 'x').touch()
    assert check_output(tmp_path / 'x', force=True) == tmp_path / 'x'
    with pytest.raises(UserError):
        check_output(tmp_path, force=True)
    assert not check_output(tmp_path / 'gone' / 'x', force=False).parent.exists()
