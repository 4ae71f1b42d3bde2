"""The committed table of swapped stock configs is what the command gives today."""

import json

import pytest

from benchmarks.swaps import RESULT, describe, rows
from mlp_backbones.apis.stock import library_configs
from mlp_backbones.apis.swap import swap_backbone
from mlp_backbones.errors import UserError

ENTRIES = json.loads(RESULT.read_text())
INSTALLED = [entry for entry in ENTRIES if library_configs(entry['config'].partition('::')[0])]


def test_every_config_of_the_list_has_a_result():
    assert [(entry['config'], entry['new']) for entry in ENTRIES] == rows()


@pytest.mark.slow
@pytest.mark.parametrize('entry', INSTALLED, ids=lambda entry: entry['config'])
def test_same_places_change(entry):
    if entry['refused'] and 'dry run' not in entry['refused']:
        with pytest.raises(UserError):
            swap_backbone(entry['config'], entry['new'], dry_run=False)
        return
    found = describe(swap_backbone(entry['config'], entry['new'], dry_run=False))
    if not entry['refused']:
        found = json.loads(json.dumps(found))
        assert {key: found[key] for key in ('old', 'changes')} == {key: entry[key] for key in ('old', 'changes')}
