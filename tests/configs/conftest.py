"""What the tests of configs share."""

import functools

import mmengine.config.utils
import pytest

_load = functools.cache(mmengine.config.utils.load)


@pytest.fixture(autouse=True)
def _read_metafiles_once(monkeypatch):
    """mmengine reads the hundred metafiles of mmdet anew for each base that a config takes from there."""
    monkeypatch.setattr(mmengine.config.utils, 'load', _load)
