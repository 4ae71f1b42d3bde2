"""Checks of constructor arguments: one clear sentence that names the argument, the value and what is allowed."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from inspect import Parameter, signature
from typing import Any

from mmengine.logging import print_log

from ..errors import printable

# What to write in place of an argument of another library's backbone; first the names that base configs of mmdet, mmseg
# and mmpretrain give to ResNet, Swin, PVT, ConvNeXt and ViT, then those of timm, torchvision and other classes.
_ADVICE = {
    "write init_cfg=dict(type='Pretrained', checkpoint=FILE_OR_URL); build_backbone(NAME, pretrained=True) loads "
    'published weights; where the base config of a segmentor sets it, write pretrained=None in the model': (
        '',
        'pretrained pretrained_cfg checkpoint_path weights',
    ),
    'write in_channels=...': ('', 'in_chans in_ch img_channels'),
    'write drop_path_rate=...': ('', 'drop_path stochastic_depth_prob'),
    'write out_indices=(...)': ('', 'out_features'),
    'write out_norm=True or False': ('', 'final_norm'),
    'leave it out: a backbone has no head; build_classifier(NAME, num_classes=N) adds one': (
        '',
        'num_classes global_pool',
    ),
    'leave it out: a backbone always returns the maps that out_indices=(...) names': (
        'out_type',
        'features_only output_cls_token',
    ),
    'leave it out: the strides follow from arch, and out_indices=(...) picks the stages': (
        'num_stages strides patch_sizes',
        '',
    ),
    'write output_stride=8 for a network like ResNet-d8, of dilations (1, 1, 2, 4), or 16': (
        'dilations contract_dilation',
        '',
    ),
    'leave it out: images may have any size': ('img_size pretrain_img_size', 'pad_small_map'),
    'leave it out: backbones have no dropout; drop_path_rate=... is stochastic depth': (
        'drop_rate attn_drop_rate',
        'proj_drop_rate',
    ),
    "leave it out: norms and activations are the paper's": (
        'norm_cfg act_cfg patch_norm layer_scale_init_value',
        'norm_layer act_layer conv_cfg',
    ),
    'leave it out: attention and convolutional bottlenecks have no options': (
        'num_heads qkv_bias qk_scale sr_ratios use_abs_pos_embed style deep_stem avg_down dcn stage_with_dcn plugins '
        'zero_init_residual',
        '',
    ),
    'leave it out: published names are converted by themselves when a file is loaded': ('convert_weights', ''),
}
_FOREIGN = {name: advice for advice, names in _ADVICE.items() for name in ' '.join(names).split()}
_OF_BASE_CONFIGS = {name for names, _ in _ADVICE.values() for name in names.split()} | {
    *('depth', 'depths', 'num_layers', 'base_channels', 'embed_dims', 'mlp_ratio', 'mlp_ratios', 'window_size'),
    *('patch_size', 'stem_channels'),
}
# What others give as arguments is a key of arch here, where the family has it.
_ARCH_KEYS = {
    ('depth', 'depths', 'num_layers', 'layers', 'num_blocks'): ('depths', 'depth'),
    ('embed_dim', 'embed_dims', 'dims', 'dim', 'base_channels', 'hidden_dim', 'width'): ('dims', 'dim'),
    ('mlp_ratio', 'mlp_ratios', 'expand_ratios'): ('mlp_ratios',),
    ('num_heads', 'heads'): ('heads',),
    ('patch_size',): ('patch_size',),
    ('window_size', 'window_sizes'): ('window_size',),
    ('stem_channels', 'stem_dim'): ('stem_dim',),
}
# Those that configs of mmdet, mmseg and mmpretrain give to ResNet, Swin, PVT, ConvNeXt and ViT.
_OF_BASE_CONFIGS = {
    *('depth', 'num_stages', 'style', 'strides', 'dilations', 'contract_dilation', 'deep_stem', 'avg_down', 'dcn'),
    *('stage_with_dcn', 'plugins', 'base_channels', 'zero_init_residual', 'embed_dims', 'depths', 'num_heads'),
    *('window_size', 'mlp_ratio', 'mlp_ratios', 'qkv_bias', 'qk_scale', 'patch_norm', 'use_abs_pos_embed'),
    *('drop_rate', 'attn_drop_rate', 'pretrain_img_size', 'convert_weights', 'num_layers', 'sr_ratios', 'patch_sizes'),
    *('layer_scale_init_value', 'img_size', 'patch_size', 'norm_cfg', 'act_cfg', 'out_type', 'stem_channels'),
}


def check_call(family: type, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Check how a backbone is called: positions, names and what is missing, but no values.

    Names that reach ``**kwargs`` of a subclass may be its own: :func:`check_names` looks at those that are left.

    Raises:
        ValueError: naming the family, each wrong argument and what to write in its place.
    """
    parameters = [*signature(family.__init__).parameters.values()][1:]
    if any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        return
    places = [p.name for p in parameters if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    if len(args) > len(places):
        raise ValueError(
            f'{family.__name__} takes {", ".join(places)} by position, got {len(args)} values: give '
            f'{", ".join(printable(repr(value), 40) for value in args[len(places) :])} by name; '
            f'its arguments are {", ".join(_names(family))}'
        )
    twice = [name for name in places[: len(args)] if name in kwargs]
    if twice:
        raise ValueError(f'{family.__name__} got {", ".join(twice)} twice, by position and by name: give it once')
    needed = [name for p in parameters if p.default is p.empty and (name := p.name) in places[len(args) :]]
    missing = [name for name in needed if name not in kwargs]
    if missing:
        check_names(family, [name for name in kwargs if name not in _names(family)])
        variants = f': one of {", ".join(family.variants)}, or a dict' if missing == ['arch'] else ''
        raise ValueError(f'{family.__name__} needs {", ".join(missing)}{variants}')


def check_names(family: type, unknown_names: Iterable[str]) -> None:
    """Refuse arguments that a backbone does not have.

    Raises:
        ValueError: if there are any; the sentence has for each what to write in its place, or the nearest argument.
    """
    wrong = list(unknown_names)
    if not wrong:
        return
    known = _names(family)
    hints = [f'{printable(name, 60)}: {hint}' for name in wrong if (hint := _replacement(family, name, known))]
    base = [kind for kind in family.__mro__ if 'variants' in vars(kind).get('__annotations__', ())][-1]
    of_others = _OF_BASE_CONFIGS.union(*(_names(kind) for kind in base.__subclasses__()))
    left = (
        f'if the backbone of a base config left {"it" if len(wrong) == 1 else "them"} behind, write _delete_=True '
        f'into the backbone; '
        if of_others.intersection(wrong)
        else ''
    )
    advice = f'{"; ".join(hints)}; ' if hints else ''
    raise ValueError(
        f'{family.__name__} has no argument {", ".join(repr(printable(name, 60)) for name in wrong)}: {advice}{left}'
        f'its arguments are {", ".join(known)}'
    )


def _replacement(family: type, name: str, known: Sequence[str]) -> str:
    keys = {**family.arch_defaults, **next(iter(family.variants.values()))}
    aliases = next((theirs for names, theirs in _ARCH_KEYS.items() if name in names), (name,))
    if name in _FOREIGN and aliases == (name,):
        return _FOREIGN[name]  # the strides of ResNet are not those of an arch
    key = next((key for key in aliases if key in keys), None)
    if key:
        others = ', '.join(f'{k}=...' for k in keys if k != key and k not in family.arch_defaults)
        named = ', '.join(filter(None, [f'{key}={keys[key]!r}', others]))
        return f'write arch=dict({named}), or a variant, arch={next(iter(family.variants))!r}'
    if name in _FOREIGN:
        return _FOREIGN[name]
    if aliases != (name,):
        return 'leave it out: the variant that arch names has it'
    nearest = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f'did you mean {nearest[0]}?' if nearest else ''


def _names(family: type) -> list[str]:
    """The arguments of a class, and those of its bases that it takes as ``**kwargs``."""
    names: dict[str, None] = {}
    for kind in family.__mro__:
        if '__init__' in vars(kind):
            parameters = [*signature(kind.__init__).parameters.values()][1:]
            named = [p.name for p in parameters if p.kind not in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)]
            names |= dict.fromkeys(named)
            # The last **, of MLPBackbone, takes what nobody knows.
            if len(named) == len(parameters) or parameters[-1].name == 'unknown':
                break
    return list(names)


# The name in mmengine's registry of the initializer that loads weights; its class lies above the backbones.
PUBLISHED_INIT = 'PublishedInit'


def check(name: str, value: object, allowed: str, ok: bool) -> None:
    if not ok:
        raise ValueError(f'{name}={value!r} is not valid: {name} must be {allowed}')


def check_template(
    num_stages: int,
    in_channels: Any,
    out_indices: Any,
    drop_path_rate: Any,
    frozen_stages: Any,
    **flags: object,
) -> None:
    """Check the arguments that all families have.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    check('in_channels', in_channels, 'an integer of at least 1', type(in_channels) is int and in_channels > 0)
    check(
        'out_indices',
        out_indices,
        f'a tuple or list of different integers from 0 to {num_stages - 1} in rising order, with at least one',
        isinstance(out_indices, (tuple, list))
        and len(out_indices) > 0
        and all(type(i) is int and 0 <= i < num_stages for i in out_indices)
        and list(out_indices) == sorted(set(out_indices)),
    )
    check(
        'drop_path_rate',
        drop_path_rate,
        'a number of at least 0 and below 1',
        type(drop_path_rate) in (int, float) and 0 <= drop_path_rate < 1,
    )
    check(
        'frozen_stages',
        frozen_stages,
        f'an integer from -1 (nothing) over 0 (stem) to {num_stages} (stem and all stages)',
        type(frozen_stages) is int and -1 <= frozen_stages <= num_stages,
    )
    for name, flag in flags.items():
        check(name, flag, 'True or False', isinstance(flag, bool))


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    check(name, value, ' or '.join(map(repr, choices)), value in choices)


def unknown(kind: str, name: object, names: Sequence[str]) -> str:
    """A sentence for a name that does not exist: the nearest one, and all there are."""
    nearest = get_close_matches(str(name).lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    hint = next((f', did you mean {n!r}?' for n in names if [n.lower()] == nearest), '.')
    return f'unknown {kind} {name!r}{hint} There are: {", ".join(names)}'


def resolve_arch(family: type, arch: str | dict) -> tuple[str, dict]:
    """Look a variant up in ``family.variants``, or check a dict against the keys and lengths of that table."""
    variants = family.variants
    if isinstance(arch, str):
        if arch not in variants:
            raise ValueError(unknown(f'arch of {family.__name__}', arch, list(variants)))
        return arch, {**family.arch_defaults, **variants[arch]}
    check('arch', arch, f'one of {", ".join(variants)}, or a dict', isinstance(arch, dict))
    arch = dict(arch)
    for old, new in family.renamed_arch_keys.items():
        if old in arch:
            arch[new] = arch.pop(old)
            _log_renamed(family.__name__, old, new)
    template = {**family.arch_defaults, **next(iter(variants.values()))}
    for key in arch:
        if key not in template:
            raise ValueError(unknown('key of arch', key, list(template)))
    missing = [key for key in template if key not in arch and key not in family.arch_defaults]
    if missing:
        raise ValueError(f'arch={arch!r} lacks {", ".join(missing)}: a dict needs the keys {", ".join(template)}')
    custom = {**family.arch_defaults, **arch}
    for key, example in template.items():
        value = custom[key]
        kinds = (int, float) if key.endswith('ratios') or isinstance(example, float) else (int,)
        if isinstance(example, (str, bool)):
            known = list(dict.fromkeys({**family.arch_defaults, **variant}[key] for variant in variants.values()))
            ok, allowed = type(value) is type(example) and value in known, ' or '.join(map(repr, known))
        elif isinstance(example, (int, float)):
            ok, allowed = type(value) in kinds and value > 0, 'a positive number'
        else:
            ok = isinstance(value, (tuple, list)) and len(value) == len(example)
            ok, allowed = ok and all(type(v) in kinds and v > 0 for v in value), f'{len(example)} positive numbers'
        check(f'arch[{key!r}]', value, f'{allowed}, as {example}', ok)
    return 'custom', custom


@cache
def _log_renamed(family: str, old: str, new: str) -> None:
    print_log(f'arch[{old!r}] of {family} is now called {new!r}: write {new}=... in the config', logger='current')


def resolve_init_cfg(init_cfg: dict | list[dict] | None) -> list[dict] | None:
    """Put the `Pretrained` entry of an mmengine ``init_cfg`` last, for the initializer of this package."""
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg or ())
    pretrained = [cfg for cfg in cfgs if _is_pretrained(cfg)]
    check('init_cfg', init_cfg, 'a dict or list of dicts with at most one of type Pretrained', len(pretrained) < 2)
    for cfg in pretrained:
        extra = sorted(set(cfg) - {'type', 'checkpoint', 'prefix', 'ema', 'adapt_channels'})
        allowed = 'dict(type="Pretrained", checkpoint=..., prefix=..., ema=..., adapt_channels=...)'
        check('init_cfg', init_cfg, allowed, not extra)
        check('init_cfg', init_cfg, 'given a checkpoint (a file or URL)', bool(cfg.get('checkpoint')))
    others = [cfg for cfg in cfgs if not _is_pretrained(cfg)]
    return [*others, *(dict(cfg, type=PUBLISHED_INIT) for cfg in pretrained)] or None


def _is_pretrained(cfg: dict) -> bool:
    kind = cfg.get('type')
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
    return name.rpartition('.')[2] in ('Pretrained', 'PretrainedInit', PUBLISHED_INIT)
