from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
version: dict = {}
exec((HERE / 'mlp_backbones' / 'version.py').read_text(), version)

setup(
    name='mlp_backbones',
    version=version['__version__'],
    description='Vision MLPs for images of any size, as backbones for mmdet, mmseg and mmpretrain',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mlp_backbones', 'mlp_backbones.*']),
    package_data={'mlp_backbones.leaderboard': ['template/*']},
    python_requires='>=3.10',
    # torch and mmengine are needed, but not named: mmengine goes by two names, and an environment of one's own is left
    # as it is. The extras name each line's packages; mmcv is built from source, see requirements/install.sh.
    install_requires=[],
    extras_require={
        'onedl': [
            'onedl-mmengine>=0.10.12',
            'onedl-mmcv>=2.3.6',
            'onedl-mmdetection>=3.5.1',
            'onedl-mmsegmentation>=1.4.2',
            'onedl-mmpretrain>=1.3.6',
        ],
        'openmmlab': [
            'mmengine>=0.10.7',
            'mmcv>=2.1,<2.2',
            'mmdet>=3.3.0',
            'mmsegmentation>=1.2.2',
            'mmpretrain>=1.2.0',
        ],
        'export': ['onnx', 'onnxruntime', 'onnxscript'],
        'docs': ['furo', 'matplotlib', 'myst-parser', 'sphinx', 'sphinx-copybutton', 'sphinx-gallery'],
        'digits': ['numpy', 'pillow', 'pycocotools', 'rich', 'scikit-learn'],
    },
)
