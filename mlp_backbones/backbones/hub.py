"""Weights in folders and on the Hugging Face Hub, in safetensors with a ``config.json`` and a model card."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log

from ..checkpoints import CheckpointError, CheckpointMissing, load_published
from ..errors import UserError, printable
from ..files import atomic_file
from ..registry import FAMILIES
from ..version import __version__

try:
    from huggingface_hub import PyTorchModelHubMixin
except ImportError:  # optional
    PyTorchModelHubMixin: Any = object

WEIGHTS = 'model.safetensors'
# What huggingface_hub takes for a download, in any version.
_DOWNLOAD = ('revision', 'cache_dir', 'force_download', 'proxies', 'resume_download', 'local_files_only', 'token')
_TASKS = {'box': 'object-detection', 'mask': 'instance-segmentation', 'Top': 'image-classification'}

_Base: Any = PyTorchModelHubMixin


class HubMixin(_Base):
    """``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` of huggingface_hub for a backbone.

    They need the packages huggingface_hub and safetensors; a backbone works without them.
    """

    fused: bool
    _hub_mixin_config: Any

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        result: str | Path | None = None,
        config: dict | None = None,
        model_card_kwargs: dict | None = None,
        **options: Any,
    ) -> str | None:
        """Write ``model.safetensors``, ``config.json`` and, where there is none, a model card ``README.md``.

        Args:
            save_directory: the folder; it is made if it is missing.
            result: path of a ``result.json`` that tools/train.py or tools/test.py wrote; its metrics and how they were
                measured go into the model card. Default None.
            config: the content of ``config.json``. Default None: the family and its arguments, but ``init_cfg``.
            model_card_kwargs: keywords of :meth:`generate_model_card`. Default None.
            **options: of huggingface_hub: ``push_to_hub=True``, ``repo_id`` and those of :meth:`push_to_hub`.

        Returns:
            The address of the commit if it was pushed, or None.

        Raises:
            UserError: if a package is missing, the backbone was fused, the result is not readable as one, or the folder
                cannot be written.
        """
        _check_packages()
        if self.fused:
            raise UserError(f'this {type(self).__name__} was fused, and no network can load it: save it before fuse()')
        card = dict(model_card_kwargs or {})
        if result is not None:
            card['result'] = result
        if card.get('result') is not None:
            _read_result(card['result'])  # before anything is written
        if config is None:
            family = next(kind.__name__ for kind in type(self).__mro__ if kind.__name__ in FAMILIES)
            config = {'family': family, **(self._hub_mixin_config or {}), 'mlp_backbones': __version__}
            config.pop('init_cfg', None)
        try:
            return super().save_pretrained(save_directory, config=config, model_card_kwargs=card, **options)
        except OSError as error:
            if error.filename is None:
                raise
            raise UserError(f'cannot write {printable(str(error.filename))}: {error.strerror}') from error

    def push_to_hub(self, repo_id: str, *, result: str | Path | None = None, **options: Any) -> str:
        """Upload to a repository of the Hub what :meth:`save_pretrained` writes.

        Args:
            repo_id: ``USER/NAME`` of the repository, which is made if it is missing.
            result: as in :meth:`save_pretrained`. Default None.
            **options: of huggingface_hub, such as ``private``, ``token``, ``branch`` and ``commit_message``.

        Returns:
            The address of the commit.

        Raises:
            UserError: as :meth:`save_pretrained`.
        """
        _check_packages()
        card = {**(options.pop('model_card_kwargs', None) or {}), **({} if result is None else {'result': result})}
        return super().push_to_hub(repo_id, model_card_kwargs=card, **options)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Any:
        """Build a backbone by ``config.json`` and load ``model.safetensors`` with the safe reader of this package.

        ``MLPBackbone.from_pretrained`` builds the family that the folder names.

        Args:
            pretrained_model_name_or_path: a folder, or ``USER/NAME`` of a repository of the Hub.
            **options: arguments of the family, which replace those of ``config.json``; ``adapt_channels`` as in
                :func:`mlp_backbones.checkpoints.load_published`; ``strict=False`` to let tensors that the file lacks
                keep their initial values; ``map_location``, a device; and those of huggingface_hub for downloads, such
                as ``revision`` and ``token``.

        Returns:
            The backbone, in eval mode. The report of what was loaded is logged.

        Raises:
            UserError: if a package is missing.
            CheckpointError: if the folder holds no backbone of this class, or its tensors do not fit.
        """
        _check_packages()
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        name = printable(str(pretrained_model_name_or_path), 500)
        file = Path(pretrained_model_name_or_path, 'config.json')
        try:
            if file.is_file() and not isinstance(json.loads(file.read_text(encoding='utf-8')), dict):
                raise CheckpointError(f'config.json of {name} holds no arguments by name')
            return super().from_pretrained(pretrained_model_name_or_path, **options)
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            reason = printable(str(error).strip().partition('\n')[0], 300)
            raise CheckpointMissing(f'{name} is no folder, and the Hub does not give it: {reason}') from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise CheckpointError(f'config.json of {name} is not JSON: {error}') from error

    def generate_model_card(self, *, result: str | Path | None = None, license: str | None = None) -> Any:
        """Make the model card: how to load the backbone, and the metrics of a result file.

        Args:
            result: as in :meth:`save_pretrained`. Default None: the card has no metrics.
            license: identifier of the licence of the weights. Default None: the card names none.

        Returns:
            A ``huggingface_hub.ModelCard``.
        """
        from huggingface_hub import EvalResult, ModelCard, ModelCardData

        family, arch = type(self).__name__, getattr(self, 'arch_name', '')
        content = None if result is None else _read_result(result)
        scores = []
        for metric, value in (content['metrics'] if content else {}).items():
            task = _TASKS.get(metric.split()[0], 'image-segmentation')
            dataset = str(content['config']).rpartition('_')[2] if content else ''
            kind = metric.lower().replace(' ', '_')
            scores.append(EvalResult(task, dataset, dataset, kind, value, metric_name=metric))
        data = ModelCardData(
            license=license,
            library_name='mlp_backbones',
            pipeline_tag='image-feature-extraction',
            tags=['model_hub_mixin', 'vision-mlp', family.lower()],
            model_name=f'{family} {arch}' if scores else None,
            eval_results=scores or None,
        )
        return ModelCard(f'---\n{data.to_yaml()}\n---\n\n{_card_text(family, arch, content)}')

    def _save_pretrained(self, save_directory: Path) -> None:
        from safetensors.torch import save_file

        module: Any = self
        tensors = {name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}
        with atomic_file(save_directory / WEIGHTS) as path:
            save_file(tensors, path, metadata={'format': 'pt'})

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        family: str | None = None,
        strict: bool = True,
        map_location: str | torch.device = 'cpu',
        adapt_channels: bool = False,
        **arguments: Any,
    ) -> Any:
        download = {key: arguments.pop(key) for key in _DOWNLOAD if key in arguments}
        for key in ('init_cfg', 'mlp_backbones'):
            arguments.pop(key, None)
        name = printable(model_id, 500)
        kind = FAMILIES.get(family) if isinstance(family, str) else None
        if kind is None:
            raise CheckpointError(
                f'{name} has no config.json, or one that names none of {", ".join(FAMILIES)} as its family: '
                f'from_pretrained loads what save_pretrained wrote, and load_published other files'
            )
        if not issubclass(kind, cls) and not issubclass(cls, kind):
            raise CheckpointError(f'{name} holds a {family}, not a {cls.__name__}: use {family}.from_pretrained')
        if Path(model_id).is_dir():
            file = Path(model_id, WEIGHTS)
        else:
            from huggingface_hub import hf_hub_download

            file = hf_hub_download(repo_id=model_id, filename=WEIGHTS, **download)
        net = (cls if issubclass(cls, kind) else kind)(**arguments)
        report = load_published(net, file, adapt_channels=adapt_channels)
        if strict and report.missing:
            raise CheckpointError(f'{report}; strict=False keeps the initial values of what is missing')
        print_log(str(report), logger='current', level=logging.WARNING if report.missing else logging.INFO)
        return net.to(map_location).eval()


def _check_packages() -> None:
    try:
        import huggingface_hub  # noqa: F401
        import safetensors  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'save_pretrained, from_pretrained and push_to_hub need huggingface_hub and safetensors, and {error.name} '
            f'cannot be imported: run `pip install huggingface_hub safetensors` and start Python anew'
        ) from error
    if PyTorchModelHubMixin is object:
        raise UserError('huggingface_hub was installed after mlp_backbones was imported: start Python anew')


def _read_result(path: str | Path) -> dict:
    shown = printable(str(path))
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'result={shown} cannot be read: {getattr(error, "strerror", None) or error}') from error
    ok = isinstance(content, dict) and str(content.get('format')).startswith('mlp_backbones result')
    ok = ok and isinstance(content.get('config'), str) and isinstance(content.get('metrics'), dict)
    if not ok or not all(type(value) in (int, float) for value in content['metrics'].values()):
        raise UserError(f'result={shown} is not a result.json that tools/train.py or tools/test.py wrote')
    return content


def _card_text(family: str, arch: str, result: dict | None) -> str:
    lines = [
        f'# {family} {arch}'.rstrip(),
        '',
        f'Weights of a {family} backbone of mlp_backbones, which maps images of any size to a tuple of feature maps.',
        '',
        '```python',
        'from mlp_backbones.backbones import MLPBackbone',
        '',
        "net = MLPBackbone.from_pretrained('FOLDER_OR_REPOSITORY')",
        '```',
    ]
    if result is None:
        return '\n'.join(lines) + '\n'
    lines += ['', f'It was trained as a part of the model of the config `{printable(result["config"], 200)}`:', '']
    lines += ['| metric | value in % |', '|---|---|']
    lines += [f'| {printable(name, 60)} | {value:g} |' for name, value in result['metrics'].items()]
    seeds = ', '.join(str(seed) for seed in result.get('seeds', ()))
    details = {'seeds': seeds, **{key: result.get(key) for key in ('test', 'date', 'commit', 'command')}}
    details['versions'] = ', '.join(f'{name} {version}' for name, version in (result.get('versions') or {}).items())
    lines += ['', *(f'- {key}: {printable(str(value), 500)}' for key, value in details.items() if value)]
    return '\n'.join(lines) + '\n'
