"""Checks of constructor arguments: one clear sentence that names the argument, the value and what is allowed."""

from collections.abc import Sequence
from difflib import get_close_matches

# The name in mmengine's registry of the initializer that loads weights; its class lies above the backbones.
PUBLISHED_INIT = 'PublishedInit'


def check(name: str, value: object, allowed: str, ok: bool) -> None:
    if not ok:
        raise ValueError(f'{name}={value!r} is not valid: {name} must be {allowed}')


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    check(name, value, ' or '.join(map(repr, choices)), value in choices)


def unknown(kind: str, name: object, names: Sequence[str]) -> str:
    """A sentence for a name that does not exist: the nearest one, and all there are."""
    nearest = get_close_matches(str(name).lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    hint = next((f', did you mean {n!r}?' for n in names if [n.lower()] == nearest), '.')
    return f'unknown {kind} {name!r}{hint} There are: {", ".join(names)}'


def resolve_arch(family: type, arch: str | dict) -> tuple[str, dict]:
    """Looks a variant up in ``family.variants``, or checks a dict against the keys and lengths of that table."""
    variants = family.variants
    if isinstance(arch, str):
        if arch not in variants:
            raise ValueError(unknown(f'arch of {family.__name__}', arch, list(variants)))
        return arch, {**family.arch_defaults, **variants[arch]}
    check('arch', arch, f'one of {", ".join(variants)}, or a dict', isinstance(arch, dict))
    template = {**family.arch_defaults, **next(iter(variants.values()))}
    for key in arch:
        if key not in template:
            raise ValueError(unknown('key of arch', key, list(template)))
    missing = [key for key in template if key not in arch and key not in family.arch_defaults]
    if missing:
        raise ValueError(f'arch={arch!r} lacks {", ".join(missing)}: a dict needs the keys {", ".join(template)}')
    custom = {**family.arch_defaults, **arch}
    for key, example in template.items():
        value, kinds = custom[key], (int, float) if key.endswith('ratios') else (int,)
        if isinstance(example, (str, bool)):
            known = list(dict.fromkeys({**family.arch_defaults, **variant}[key] for variant in variants.values()))
            ok, allowed = type(value) is type(example) and value in known, ' or '.join(map(repr, known))
        elif isinstance(example, int):
            ok, allowed = type(value) in kinds and value > 0, 'a positive number'
        else:
            ok = isinstance(value, (tuple, list)) and len(value) == len(example)
            ok, allowed = ok and all(type(v) in kinds and v > 0 for v in value), f'{len(example)} positive numbers'
        check(f'arch[{key!r}]', value, f'{allowed}, as {example}', ok)
    return 'custom', custom


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
