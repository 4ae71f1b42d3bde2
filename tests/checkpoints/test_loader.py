import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmengine.runner.checkpoint import _load_checkpoint_with_prefix
from torch import nn

from mlp_backbones.checkpoints import CheckpointError, install_loader
from tests.conftest import run


class Planted:
    """Makes a file where it is unpickled by something that runs what a pickle asks for."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, 'w')


@pytest.fixture(autouse=True)
def installed():
    schemes = dict(CheckpointLoader._schemes)
    install_loader()
    install_loader()
    yield
    CheckpointLoader._schemes = schemes


@pytest.fixture
def address(tmp_path, monkeypatch):
    """Of a server on this machine, for the files in ``served``; mmengine's tables and torch's hub lie in folders."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path / 'mmengine'))
    for name in ('served', 'mmengine'):
        (tmp_path / name).mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / 'served'))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f'http://127.0.0.1:{server.server_address[1]}'
        server.shutdown()
        thread.join()


def test_all_of_mmengines_ways_refuse_code(tmp_path):
    mark, path = tmp_path / 'mark', str(tmp_path / 'evil.pth')
    torch.save({'state_dict': {'weight': torch.ones(1)}, 'x': Planted(mark)}, path)
    for load in (
        partial(load_checkpoint, nn.Linear(1, 1), path),
        partial(_load_checkpoint_with_prefix, 'a.', path),
        partial(CheckpointLoader.load_checkpoint, path, 'cpu'),
    ):
        with pytest.raises(CheckpointError, match='evil'):
            load()
        assert not mark.exists()


@pytest.mark.parametrize('scheme', ['s3', 'petrel', 'open-mmlab:s3', 'pavi'])
def test_other_schemes_are_refused(scheme):
    with pytest.raises(CheckpointError):
        CheckpointLoader.load_checkpoint(f'{scheme}://a/b.pth')


@pytest.mark.parametrize('scheme', ['open-mmlab', 'openmmlab'])
def test_names_of_a_model_zoo_are_looked_up(address, tmp_path, scheme):
    torch.save({'state_dict': {'weight': torch.full((1, 1), 3.0), 'bias': torch.ones(1)}}, tmp_path / 'served/zoo.pth')
    torch.save({'weight': torch.full((1, 1), 4.0)}, tmp_path / 'mmengine/local.pth')
    (tmp_path / 'mmengine/open_mmlab.json').write_text(json.dumps({'mine': f'{address}/zoo.pth', 'here': 'local.pth'}))
    model = nn.Linear(1, 1)
    load_checkpoint(model, f'{scheme}://mine')
    assert model.weight == 3
    assert CheckpointLoader.load_checkpoint(f'{scheme}://here')['weight'] == 4
    with pytest.raises(CheckpointError, match=f'{scheme}://mine'):
        load_checkpoint(model, f'{scheme}://mined')


@pytest.mark.parametrize('scheme', ['torchvision', 'modelzoo', 'mmcls'])
def test_an_unknown_name_of_a_model_zoo(scheme):
    with pytest.raises(CheckpointError, match=f'{scheme}://.*no_such_network'):
        CheckpointLoader.load_checkpoint(f'{scheme}://no_such_network')


def test_any_mmengine_loads_what_its_runner_saved(tmp_path):
    """The original mmengine fails with torch 2.6 and newer, unless this package is imported."""
    buffer = HistoryBuffer()
    buffer.update(1.5)
    torch.save(
        dict(state_dict=dict(w=torch.ones(2)), message_hub=dict(log_scalars=dict(loss=buffer))), tmp_path / 'a.pth'
    )
    script = f"""
import mlp_backbones
from mmengine.runner import CheckpointLoader
loaded = CheckpointLoader.load_checkpoint({str(tmp_path / 'a.pth')!r}, map_location='cpu')
print(loaded['state_dict']['w'].sum().item(), loaded['message_hub']['log_scalars']['loss'].current())
"""
    done = run('-c', script)
    assert done.returncode == 0 and done.stdout.split()[-2:] == ['2.0', '1.5'], done.stdout
