"""Scripts of the gallery that run without a build of the site."""

import pytest

from tests.conftest import ROOT, run


@pytest.mark.slow
def test_detectors_of_torchvision(tmp_path):
    done = run(ROOT / 'docs' / 'gallery' / 'plot_torchvision_detector.py', cwd=tmp_path, MPLBACKEND='Agg')
    assert done.returncode == 0, done.stdout
    assert all(name in done.stdout for name in ('Faster R-CNN', 'RetinaNet', 'FCOS'))
