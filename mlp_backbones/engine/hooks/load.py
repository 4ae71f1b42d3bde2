"""Check the checkpoint that a training begins with, before mmengine loads the part of it that fits."""

from collections import OrderedDict
from collections.abc import Mapping

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import FlexibleRunner, Runner, get_state_dict
from torch import Tensor

from ...backbones import MLPBackbone
from ...checkpoints import CheckpointError, LoadReport, find_state_dict
from ...checkpoints.fit import list_misfits
from ...checkpoints.incoming import convert_incoming
from ...checkpoints.state_dict import is_finite, list_names, unwrap
from ...errors import printable


class LoadHook(Hook):
    """Refuse a checkpoint that does not fit; log what a ``load_from`` that does fit brings.

    To resume, all tensors must be those of the model, and the state of the training must be there. ``load_from`` must
    hold at least the whole stem and stages of each backbone of this package, in its own or published names. What
    wrappers put into names is taken off.

    Raises:
        CheckpointError: before anything is loaded or trained.
    """

    priority = 'HIGHEST'  # before EMAHook takes its copy

    def after_load_checkpoint(self, runner: Runner | FlexibleRunner, checkpoint: dict) -> None:
        source = printable(runner._load_from or f'the newest checkpoint of {runner.work_dir}', 500)
        if runner._resume:
            _check_training_state(checkpoint, source)
        if isinstance(runner, FlexibleRunner):
            model, state = runner.strategy.model, runner.strategy.model_state_dict()
        else:
            model, state = runner.model, get_state_dict(runner.model)
        while is_model_wrapper(model):
            model = model.module
        state = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
        names = unwrap({name: name for name in state})
        wanted = {name: state[own] for name, own in names.items()}
        given = find_state_dict(checkpoint, prefix='')
        if not runner._resume:
            convert_incoming(model, given)
            given = unwrap(given)
        misfits = {name: wrong for name in {**wanted, **given} if (wrong := _misfit(name, given, wanted))}
        if runner._resume:
            if misfits:
                raise CheckpointError(
                    f'cannot resume from {source}: it does not fit this {type(model).__name__} in {len(misfits)} '
                    f'places, e.g. it {next(iter(misfits.values()))}; resume with the config that it was trained with, '
                    f'or begin a new training from it with load_from'
                )
        else:
            for path, backbone in model.named_modules():
                if isinstance(backbone, MLPBackbone):
                    _check_body(f'{path}.' if path else '', backbone, wanted, given, misfits, source)
            fitting = [name for name in wanted if name not in misfits]
            report = LoadReport(
                source=source,
                loaded=tuple(fitting),
                missing=tuple(name for name in wanted if name in misfits),
                unexpected=tuple(name for name in given if name in misfits),
                reshaped=(),
                nonfinite=tuple(name for name in fitting if not is_finite(given[name].to(wanted[name].dtype))),
            )
            different = [wrong for name, wrong in misfits.items() if name in wanted and name in given]
            runner.logger.info(f'load_from {report}' + (f'; it {list_names(different)}' if different else ''))
        loaded = OrderedDict((names[name], given[name]) for name in wanted if name not in misfits)
        loaded._metadata = getattr(checkpoint.get('state_dict'), '_metadata', OrderedDict())
        checkpoint['state_dict'] = loaded


def _misfit(name: str, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    pair = ({name: tensors[name]} if name in tensors else {} for tensors in (given, wanted))
    return next(iter(list_misfits(*pair)), None)


def _check_training_state(checkpoint: Mapping, source: str) -> None:
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    lacks = [f'meta.{key}' for key in ('epoch', 'iter') if type(meta.get(key)) is not int]
    lacks += [key for key in ('state_dict', 'optimizer') if not isinstance(checkpoint.get(key), Mapping)]
    if lacks:
        raise CheckpointError(
            f'cannot resume from {source}: it lacks {", ".join(lacks)} (best_*.pth hold no optimizer); resume from '
            f'another, begin a new training with load_from, or from the weights of a backbone or classifier with '
            f"init_cfg=dict(type='Pretrained', checkpoint=...) of the backbone"
        )


def _check_body(
    prefix: str,
    backbone: MLPBackbone,
    wanted: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    misfits: Mapping[str, str],
    source: str,
) -> None:
    body = [name for name in wanted if name.startswith((f'{prefix}stem.', f'{prefix}stages.'))]
    wrong = [misfits[name] for name in body if name in misfits]
    if wrong:
        raise CheckpointError(
            f'load_from={source} does not fit: {len(body) - len(wrong)} of the {len(body)} tensors in stem and '
            f'stages of {prefix}{type(backbone).__name__} are in it, e.g. it {wrong[0]}; it '
            f'holds {list_names(given, 2)}. load_from takes checkpoints of the whole model, and published weights of '
            f'the same backbone; check arch and the file'
        )
