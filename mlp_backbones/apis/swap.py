"""Put a backbone of this package into a config of mmdet, mmseg or mmpretrain."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ..backbones import MLPBackbone, build_backbone
from ..backbones.builders import resolve
from ..checkpoints import CheckpointError
from ..checkpoints.weights import IMAGENET_MEAN, IMAGENET_STD, Weights
from ..engine.nodes import dicts, type_name
from ..errors import UserError, printable
from ..files import add_force_argument, check_output, write_text
from ..recipes import recipes_folder
from .config import import_libraries, library, load_config
from .edits import Edits, Place, plain
from .nearest import LEFT_OUT, choose_weights, nearest_recipe, paper_optimizer
from .seams import (
    Level,
    Unplaced,
    backbone_place,
    dilated_stride,
    find_readers,
    join,
    match,
    neck_nodes,
    past_pyramid,
    write,
)
from .stock import find_config
from .trial import probe_backbone, try_config

COMMAND = 'python -m mlp_backbones swap'
RECIPES = ('keep', 'paper')
OF_ONE_SIZE = {'OCRHead'}  # heads that join maps, which must have one size
RESIZING = ('mmseg', 'mmpretrain')  # libraries whose heads read maps of any stride
LAYER_DECAY = 'mlp_backbones.LayerDecayOptimWrapperConstructor'


@dataclass
class Swap:
    """A config with another backbone.

    Attributes:
        config: the new config.
        edits: what changed, and why.
        notes: what a user should know.
        base: expression for ``_base_``, or '' where only a path inherits.
        path: of the old config.
        heading: first comment of the new file.
        levels: outputs of the old backbone, or of its neck where that is taken out.
        widths: of the new outputs.
    """

    config: Config
    edits: Edits
    base: str
    path: Path
    heading: str
    levels: Sequence[Level] = ()
    widths: Sequence[int] = ()
    notes: list[str] = field(default_factory=list)

    def text(self, folder: str | Path | None = None) -> str:
        """The new config as the text of a file that inherits from the old one.

        Args:
            folder: that the file will be in. Default None: any; a base that only a path names is then absolute.

        Raises:
            UserError: if the old config has no file, or a changed value cannot be written, such as a class.
        """
        base = self.base
        if not base:
            path = self.path.resolve()
            if not path.is_file():
                raise UserError(f'{self.path.name} is no file, from which a config could inherit: use the new Config')
            base = repr(path.as_posix() if folder is None else Path(os.path.relpath(path, folder)).as_posix())
        return self.edits.text(base, self.heading)


def swap_backbone(
    config: str | Path | Config, backbone: str, weights: str | None = None, recipe: str = 'keep', dry_run: bool = True
) -> Swap:
    """Put a backbone of this package into a config, at every place that holds a width or level of the old one.

    The old backbone is built to learn its outputs. Outputs that nothing reads are left out, and stages behind the last
    one that is read are not built. A network of one scale gets a :class:`.RescalePyramid` where several are read.

    Args:
        config: a config, its path, ``LIBRARY::FOLDER/NAME.py``, or its bare name in this package or in an installed
            library.
        backbone: a variant, as :func:`.list_backbones` has it, e.g. ``'cyclemlp_b2'``.
        weights: a checkpoint's file or address, the name of published weights (:func:`.list_weights`), or 'none'.
            Default None: the published ImageNet weights, where there are any to fetch.
        recipe: 'keep' leaves the optimizer as it is; 'paper' takes optimizer, exceptions from weight decay, clipping
            and drop path of this package's nearest recipe, with the rate scaled to the batch. Default 'keep'.
        dry_run: whether to take one training step and predict once with the result, on the CPU. Default True.

    Returns:
        The new config, what changed, and notes.

    Raises:
        UserError: if there is no such config or backbone, a place cannot be rewritten, or the trial fails; the sentence
            names the place.
        CheckpointError: if the file of ``weights`` does not fit.
    """
    if recipe not in RECIPES:
        raise UserError(f'recipe={recipe!r} is not valid: give one of {", ".join(RECIPES)}')
    try:
        family, options = resolve(backbone, {})
        arch = options['arch']
    except (KeyError, ValueError) as error:
        raise UserError(str(error) if isinstance(error, ValueError) else f'{backbone!r} names no arch') from error
    configs = recipes_folder() / 'configs'
    loaded = isinstance(config, Config)
    if loaded:
        path, base = Path(config.filename or 'config.py'), ''
    else:
        path, base = find_config(str(config), configs)
        if path.suffix == '.py' and Config._is_lazy_import(str(path)):
            raise UserError(
                f'{path.name} is written with `read_base`, and no config with `_base_` can inherit from it: load it, '
                f'and give the Config to mlp_backbones.swap_backbone'
            )
        config = load_config(str(path), configs)
        config.pop('provenance')
    import_libraries(config)
    scope = library(config)
    if not config.get('model'):
        raise UserError(f'{path.name} has no model')
    edits = Edits(config)
    try:
        result = Swap(edits.config, edits, base, path, f'{path.stem} with {backbone}, by `{COMMAND}`.')
        swapper = _Swapper(edits, family, arch, scope, result.notes)
        result.levels, result.widths = swapper.place_backbone(weights, recipe)
        swapper.normalise()
        swapper.optimise(recipe)
        swapper.forget_weights()
    except Unplaced as error:
        raise UserError(f'{path.name} cannot take {backbone}: {error}') from error
    if dry_run:
        # What was loaded by the caller may differ from its file.
        _prove(result if loaded else reread(result), weights is not None and Path(weights).is_file())
    return result


class _Swapper:
    """The parts of a swap, which share what is known of the old and the new backbone."""

    output_stride: int | None = None
    checkpoint: str = ''
    weights: Weights | None = None

    def __init__(self, edits: Edits, family: type[MLPBackbone], arch: str, scope: str, notes: list[str]):
        self.edits = edits
        self.model = edits.old.model
        self.family, self.arch, self.scope, self.notes = family, arch, scope, notes
        self.variant = f'{family.__name__.lower()}_{arch}'
        self.recipe = nearest_recipe(edits.old, self.variant, recipes_folder() / 'configs')

    def place_backbone(self, weights: str | None, recipe: str) -> tuple[list[Level], list[int]]:
        """Put the backbone in, and the widths and numbers of its outputs wherever they are held.

        Returns:
            The old outputs, and the widths of the new ones.
        """
        self.checkpoint, self.weights = choose_weights(self.variant, weights)
        place = backbone_place(self.model)
        old = self.edits.get(place)
        levels = probe_backbone(old, self.scope)
        with torch.device('meta'):
            new = build_backbone(self.variant)
        several = len(set(new.strides)) == len(new.strides)
        self.output_stride = dilated_stride(old, levels) if self.family.dilates else None
        strides = [min(stride, self.output_stride or stride) for stride in new.strides]
        channels = new.stage_channels()
        pyramid = past_pyramid(self.model, levels) if several else None
        levels = pyramid or levels
        readers = find_readers(self.model, levels, skip_neck=pyramid is not None)
        read = sorted({i for reader in readers for i in reader.levels})
        wanted = [levels[i].stride for i in read]
        if several:
            matched = match(levels, strides, exact=self.scope not in RESIZING)
            stages = [matched[i] for i in read]
        else:
            stages = [max(len(strides) * (k + 1) // len(read), 1) - 1 for k in range(len(read))]
            if len(set(stages)) < len(read):
                raise Unplaced(f'{len(read)} outputs are read, and the new backbone has {len(strides)}')
        given = [strides[stage] for stage in stages]
        scales = self._scales(given, wanted, several)
        indices = tuple(sorted(set(stages)))
        widths = [channels[i] for i in indices]

        shown = f'outputs of stride {join(strides[i] for i in indices)} and width {join(widths)}'
        self.edits.set(place, self._backbone_node(indices, weights, recipe), f'in place of {type_name(old)}; {shown}')
        if pyramid:
            self.edits.set(('model', 'neck'), None, 'it made several scales of one, and the new backbone has several')
        new_levels = {i: (indices.index(stage), channels[stage]) for i, stage in zip(read, stages, strict=True)}
        write(self.edits, readers, new_levels)
        self._add_necks(levels, widths, scales)
        if scales is None and None not in wanted and given != wanted:
            self.notes.append(f'outputs of stride {join(given)} take the place of those of stride {join(wanted)}')
        if self.family.__name__ == 'SparseMLP':
            hooks = [*plain(self.edits.get(('custom_hooks',)) or []), dict(type='mlp_backbones.AuxiliaryLossHook')]
            self.edits.set(('custom_hooks',), hooks, "adds the experts' auxiliary loss")
        return levels, widths

    def _scales(self, given: Sequence[float], wanted: Sequence[float | None], several: bool) -> list[float] | None:
        """What a pyramid has to scale each output by; None where none is needed."""
        if None in wanted or list(given) == list(wanted):
            return None
        scales = [a / b for a, b in zip(given, wanted, strict=True) if b]
        if several:
            # OCRHead joins its maps with those of the head before it.
            return scales if OF_ONE_SIZE & set(map(type_name, dicts(self.model))) else None
        if self.scope not in RESIZING:
            return scales
        # They need several scales, but not exact ones.
        return None if len(scales) == 1 or all(0.7 < scale < 1.5 for scale in scales) else scales

    def _backbone_node(self, out_indices: tuple[int, ...], weights: str | None, recipe: str) -> dict:
        name = self.family.__name__
        node: dict[str, Any] = dict(type=f'mlp_backbones.{name}', arch=self.arch, out_indices=out_indices)
        options = plain(self.recipe.model.backbone) if self.recipe else {}
        if str(options.get('type', '')).rpartition('.')[2] == name:
            node |= {key: value for key, value in options.items() if key not in LEFT_OUT}
        if 'spatial_rule' in signature(self.family.__init__).parameters and self.scope != 'mmpretrain':
            node['spatial_rule'] = 'resize'
        if self.scope == 'mmpretrain' and signature(self.family.__init__).parameters.get('out_norm') is not None:
            node['out_norm'] = True
        if self.output_stride:
            node['output_stride'] = self.output_stride
        if recipe == 'paper':
            node['drop_path_rate'] = options.get('drop_path_rate', 0.0)
        if self.checkpoint:
            node['init_cfg'] = dict(type='Pretrained', checkpoint=self.checkpoint)
        elif weights is None:
            page = self.weights and f'those on the page {self.weights.address} need `--weights {self.weights.name}`'
            self.notes.append(f'{name} {self.arch} starts from random weights: {page or "none are published"}')
        return node

    def _add_necks(self, levels: Sequence[Level], channels: list[int], scales: Sequence[float] | None) -> None:
        added: list[dict] = []
        why = ''
        if scales:
            added.append(dict(type='mlp_backbones.RescalePyramid', in_channels=channels, scales=list(scales)))
            why = 'brings maps of one scale to the strides that are read'
        pooled = any('Pooling' in type_name(node) for _, node in neck_nodes(self.model))
        if levels[-1].stride is None and not pooled:
            added.append(dict(type='mmpretrain.GlobalAveragePooling'))
            why = 'the head reads a vector, which the old backbone gave'
        if added:
            neck = plain(self.edits.get(('model', 'neck'))) or []
            necks = [*added, *(neck if isinstance(neck, list) else [neck])]
            self.edits.set(('model', 'neck'), necks if len(necks) > 1 else necks[0], why)

    def normalise(self) -> None:
        place: Place = ('model', 'data_preprocessor') if 'data_preprocessor' in self.model else ('data_preprocessor',)
        node = self.edits.get(place)
        order = 'to_rgb' if self.scope == 'mmpretrain' else 'bgr_to_rgb'
        if node is None or not self.checkpoint:
            return
        old = (list(node.get('mean') or []), list(node.get('std') or []), bool(node.get(order)))
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if self.weights is None else (self.weights.mean, self.weights.std)
        if old != ([*mean], [*std], True):
            why = 'images as the weights saw them in training'
            for key, value in (('mean', [*mean]), ('std', [*std]), (order, True)):
                self.edits.set((*place, key), value, why)
            if node.get('rgb_to_bgr'):
                self.edits.set((*place, 'rgb_to_bgr'), False, why)
            shown = f'mean {old[0]}, std {old[1]}, {"RGB" if old[2] else "BGR"}' if old[0] else 'no normalisation'
            self.notes.append(
                f'the old config has {shown}; images are now normalised as the weights need it: mean {[*mean]}, '
                f'std {[*std]}, RGB'
            )

    def optimise(self, recipe: str) -> None:
        wrapper = self.edits.get(('optim_wrapper',))
        if recipe == 'paper':
            if self.recipe is None:
                raise UserError(f'--recipe paper: there is no recipe for a config of {self.scope!r}')
            name = Path(self.recipe.filename).stem
            new, scaled = paper_optimizer(self.edits.old, self.recipe)
            self.edits.set(('optim_wrapper',), new, f'of {name}; {scaled}')
            self.notes.append('the number of epochs and the schedule of the learning rate are those of the old config')
        elif wrapper:
            paramwise = wrapper.get('paramwise_cfg') or {}
            decay = paramwise.get('layer_decay_rate', paramwise.get('decay_rate'))
            if decay is not None and str(wrapper.get('constructor')).endswith('DecayOptimizerConstructor'):
                # Those of mmdet and mmseg number the layers of the backbones that they know by name.
                why = 'layer decay for the new backbone, at the rate of the old one'
                self.edits.set(('optim_wrapper', 'constructor'), LAYER_DECAY, why)
                self.edits.set(('optim_wrapper', 'paramwise_cfg'), dict(layer_decay_rate=decay), why)
            optimizer = wrapper.get('optimizer') or {}
            if type_name(optimizer) == 'SGD':
                self.notes.append(
                    f'the optimizer remains SGD with lr={optimizer.get("lr")}; vision MLPs are trained with AdamW: '
                    f'`--recipe paper` sets it'
                )

    def forget_weights(self) -> None:
        for place in (('model', 'pretrained'), ('load_from',)):
            if self.edits.get(place):
                self.edits.set(place, None, 'weights of the old network')
        if 'Pretrained' in map(type_name, dicts(self.model.get('init_cfg'))):
            self.edits.set(('model', 'init_cfg'), None, 'weights of the old network')


def reread(result: Swap) -> Swap:
    """Return the same with the config that its text gives, which must not differ."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f'{result.path.stem}.py')
        text = result.text()
        path.write_text(text, encoding='utf-8')
        read = Config.fromfile(path)
    for key in {place[0] for place, *_ in result.edits.changes()}:
        if plain(read.get(key)) != plain(result.config.get(key)):
            if '{{' in text:
                raise UserError('a name or path with "{{" cannot stand in a config, which replaces it: rename it')
            raise UserError(f'{result.path.name}: {key} cannot be changed in a config that inherits from this one')
    return replace(result, config=read)


def _prove(result: Swap, load_weights: bool) -> None:
    try:
        model, idle = try_config(result.config, load_weights)
    except CheckpointError:
        raise
    except UserError as error:
        if _fails_alike(result.edits.old, str(error)):
            raise UserError(
                f'{result.path.name}: in the dry run, {error}; the old config fails in the same way, so the backbone '
                f'is not the cause: --no-dry-run (dry_run=False) leaves the dry run out'
            ) from error
        left = _left_over(result)
        hint = f'; places that still hold a width of the old backbone: {", ".join(left)}' if left else ''
        raise UserError(f'{result.path.name} cannot take the new backbone: in the dry run, {error}{hint}') from error
    if idle:
        raise UserError(
            f'{result.path.name} cannot take the new backbone: {len(idle)} of its parameters get no gradient, as '
            f'nothing reads them: {", ".join(idle[:3])}'
        )
    names = [name for name, _ in model.named_parameters()]
    paramwise = (result.config.get('optim_wrapper') or {}).get('paramwise_cfg') or {}
    unused = [key for key in paramwise.get('custom_keys', {}) if not any(key in name for name in names)]
    if unused:
        result.notes.append(f'paramwise_cfg names no parameter of the new network with {", ".join(unused)}')


def _fails_alike(old: Config, reason: str) -> bool:
    try:
        try_config(old)
    except UserError as error:
        return str(error) == reason
    return False


def _left_over(result: Swap) -> list[str]:
    """What still holds a width that only the old backbone has."""
    gone = {level.channels for level in result.levels} - set(result.widths)
    return [
        f'{type_name(node)}.in_channels={node["in_channels"]}'
        for node in dicts(result.config.model)
        if isinstance(node.get('in_channels'), int) and node['in_channels'] in gone
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command ``swap``."""
    parser.add_argument('config', help='a path, LIBRARY::FOLDER/NAME.py, or the name of a config')
    parser.add_argument('backbone', help='e.g. cyclemlp_b2')
    parser.add_argument(
        '--weights', metavar='FILE|NAME|none', help='of the backbone (default: the published ones, where there are any)'
    )
    parser.add_argument('--recipe', choices=RECIPES, default='keep', help='whose optimizer (default: keep)')
    parser.add_argument('-o', '--output', type=Path, help='file to write (default: NAME_BACKBONE.py in this folder)')
    add_force_argument(parser)
    parser.add_argument(
        '--no-dry-run', action='store_true', help='write it without a training step and a prediction on the CPU'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Swap, print what changes, and write the new config."""
    path, _ = find_config(args.config, recipes_folder() / 'configs')
    output = args.output or Path(f'{path.stem}_{args.backbone}.py')
    if output.resolve() == path.resolve():
        raise UserError(f'{printable(output)} is the old config, from which the new one inherits: give another -o')
    check_output(output, args.force)
    try:
        result = swap_backbone(args.config, args.backbone, args.weights, args.recipe, not args.no_dry_run)
    except CheckpointError as error:
        raise UserError(str(error)) from error
    write_text(output, result.text(output.parent))
    print(result.edits.diff())
    for note in result.notes:
        print(f'note: {note}')
    tried = 'not tried' if args.no_dry_run else 'a training step and a prediction succeeded'
    print(f'{tried}; written to {output}')
