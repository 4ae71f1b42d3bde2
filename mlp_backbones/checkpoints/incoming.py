"""Convert published networks in the state dicts that models load, whichever function of which library loads them.

``load_state_dict`` of torch and mmengine's own show a module only the tensors below its prefix, so that a backbone in a
detector never sees a file without ``backbone.``. Each module that holds a backbone of this package therefore gets a
hook of torch that sees the state dict before the module does.
"""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from ..errors import CheckpointError
from .fit import family_of, fit_to, other_head_name
from .identify import Identity, classifier_names, identify, label, network_prefixes
from .key_maps import head_names, is_constant
from .state_dict import below, file_tensors, list_names, unwrap

# An attribute of a backbone during a load: the prefix under which a module above has already looked for it.
_LOOKED = '_looked_for_at'
_PART = 0.1  # of the numbers of a body: adapters have fewer
_MATRICES = 8  # an adapter or a head of an image has fewer


def convert_incoming(model: nn.Module, state: dict[str, Any], prefix: str = '') -> None:
    """Give the tensors of published networks the names and shapes of the backbones in a model, in place.

    A state dict that holds a backbone under the names of the model stays as it is. Else the one network in it, or the
    one below the same prefix, is taken if it fits the backbone; names of wrappers, of a whole file (``model``) and of
    mmpretrain's linear layer are converted as well. A warning is logged if there is a network that does not fit;
    adapters and heads are no network.

    Args:
        model: a module that holds backbones of this package, or is one.
        state: what is to be loaded: tensors by name, or the content of a file.
        prefix: of the model's names in ``state``. Default ''.
    """
    places = {f'{prefix}{path}.' if path else prefix: part for path, part in model.named_modules() if family_of(part)}
    waiting: dict[str, nn.Module] = {}
    for place, backbone in places.items():
        if prefix and vars(backbone).get(_LOOKED) == place:
            continue
        vars(backbone)[_LOOKED] = place
        body = _body(backbone, place)
        found = [name for name in body if name in state]
        # Published names of a stem may be our own.
        if body and not any(name.startswith(f'{place}stages.') for name in found):
            waiting[place] = backbone
        elif sum(body[name] for name in found) < sum(body.values()) and _is_part(found, body):
            _warn(
                f'{len(found)} of the {len(body)} parameters in stem and stages of {place}{_label(backbone)} are in '
                f'the state dict that is being loaded; the others keep their values'
            )
    if waiting:
        _convert(model, waiting, {*places} - {*waiting}, state, prefix)


def finish_incoming(backbone: nn.Module, state: Mapping[str, Any], prefix: str) -> bool:
    """End the search for a backbone's tensors, and return whether its whole stem and stages are there."""
    vars(backbone).pop(_LOOKED, None)
    return all(name in state for name in _body(backbone, prefix))


def _convert(
    model: nn.Module, waiting: Mapping[str, nn.Module], complete: set[str], state: dict[str, Any], prefix: str
) -> None:
    try:
        tensors = file_tensors(state)
        origins = unwrap({name: name for name in tensors})
    except CheckpointError:
        return  # no tensors, as in a file that holds only a moving average
    given = {name: tensors[origin] for name, origin in origins.items()}
    complete = {_unwrapped(place) for place in complete}
    networks = {
        network: identity
        for network in network_prefixes(given)
        if network not in complete and (identity := identify(below(given, network)))
    }
    targets = {prefix + name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    converted: dict[str, Tensor] = {}
    used: set[str] = set()
    shifts: list[tuple[str, str]] = []
    for place, backbone in waiting.items():
        network = _nearest(_unwrapped(place), networks)
        if network is None:
            _warn_of_others(place, backbone, networks, {k: v for k, v in given.items() if origins[k] not in targets})
            continue
        inside = below(given, network)
        try:
            fit = fit_to(backbone, inside, 'the state dict that is being loaded')
        except CheckpointError as error:
            _warn(str(error))
            continue
        converted |= {place + name: tensor for name, tensor in fit.tensors.items()}
        used |= {network + fit.names[name] for name in fit.tensors}
        used |= {network + name for name in inside if is_constant(fit.family, name)}
        heads = _classifier(fit.family, place.removesuffix('backbone.'), inside, targets)
        converted |= {name: inside[key] for name, key in heads.items()}
        used |= {network + key for key in heads.values()}
        shifts.append(_outer(network, place))
        print_log(
            f'{len(fit.tensors)} tensors of {networks[network]}, '
            f'{"" if networks[network].own else "in published names "}below {network!r}, are loaded as '
            f'{place}{_label(backbone)}',
            logger='current',
        )
    if not converted:
        return
    rest = {_placed(origins[name], name, given[name], targets, shifts): given[name] for name in given.keys() - used}
    nested = not state.keys() & tensors.keys()
    for name in [name for name in state if nested or name in tensors]:
        del state[name]
    state.update(rest | converted)


def _classifier(
    family: str, holder: str, inside: Mapping[str, Tensor], targets: Mapping[str, Tensor]
) -> dict[str, str]:
    """The names in a model of what a published classifier has after its backbone, to those in the file."""
    ours = classifier_names(family)
    names = [name for name in (*ours, *map(other_head_name, ours)) if holder + name in targets]
    found = head_names(family, names, inside)
    return {
        holder + name: key
        for name, key in found.items()
        if key in inside and inside[key].shape == targets[holder + name].shape
    }


def _nearest(place: str, networks: Mapping[str, Identity]) -> str | None:
    """The prefix of the network that belongs to a place: the only one, or the one with most of the place's prefix."""
    if len(networks) == 1:
        return next(iter(networks))
    return max((network for network in networks if place.startswith(network)), key=len, default=None)


def _outer(network: str, place: str) -> tuple[str, str]:
    """What two prefixes have before the parts that they share at their ends."""
    ours, theirs = network.split('.')[:-1], place.split('.')[:-1]
    while ours and theirs and ours[-1] == theirs[-1]:
        ours, theirs = ours[:-1], theirs[:-1]
    return ''.join(f'{part}.' for part in ours), ''.join(f'{part}.' for part in theirs)


def _placed(
    origin: str, name: str, tensor: Tensor, targets: Mapping[str, Tensor], shifts: list[tuple[str, str]]
) -> str:
    """The name in the model of a tensor beside the backbone, e.g. of a head; its own name if the model has none."""
    if origin in targets:
        return origin
    inner = [name, *(name.removeprefix(ours) for ours, _ in shifts if name.startswith(ours))]
    names = [*inner, *(theirs + part for part in inner for _, theirs in shifts)]
    for possible in (*names, *map(other_head_name, names)):
        if possible in targets and targets[possible].shape == tensor.shape:
            return possible
    return origin


def _warn_of_others(
    place: str, backbone: nn.Module, networks: Mapping[str, Identity], unplaced: Mapping[str, Tensor]
) -> None:
    """Warn that a state dict holds other networks, or several; not of heads and adapters."""
    channels = {3, getattr(backbone, 'in_channels', 3)} - {1}
    matrices = [tensor for tensor in unplaced.values() if tensor.ndim > 1]
    if networks:
        holds = ' and '.join(f'{identity} below {prefix!r}' for prefix, identity in [*networks.items()][:5])
    elif len(matrices) >= _MATRICES and any(t.ndim == 4 and t.shape[1] in channels for t in matrices):
        holds = f'no network of this package: its tensors are named {list_names(unplaced, 3)}'
    else:
        return
    _warn(
        f'nothing of the stem and stages of {place}{_label(backbone)} is in the state dict that is being loaded, which '
        f'holds {holds}; the backbone keeps its values'
    )


def _body(backbone: nn.Module, prefix: str) -> dict[str, int]:
    """The parameters of stem and stages, and how many numbers they hold."""
    return {
        prefix + name: parameter.numel()
        for name, parameter in backbone.named_parameters()
        if name.startswith(('stem.', 'stages.'))
    }


def _is_part(found: list[str], body: Mapping[str, int]) -> bool:
    """Whether tensors are a part of a network rather than an adapter to it."""
    return sum(body[name] for name in found) >= _PART * sum(body.values())


def _label(backbone: Any) -> str:
    return label(family_of(backbone) or type(backbone).__name__, backbone.arch_name)


def _unwrapped(place: str) -> str:
    return next(iter(unwrap({f'{place}x': None}))).removesuffix('x')


def _warn(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)


def _before_load(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    convert_incoming(module, state, prefix)


def _watch(holder: nn.Module, name: str, child: nn.Module | None) -> None:
    """Hook a module when a backbone, or a module that holds one, becomes its part."""
    if child is not None and (family_of(child) or _is_watched(child)) and not _is_watched(holder):
        # The public name is of torch 2.5.
        holder._register_load_state_dict_pre_hook(_before_load, with_module=True)


def _is_watched(module: nn.Module) -> bool:
    hooks = vars(module).get('_load_state_dict_pre_hooks', {}).values()
    return any(getattr(hook, 'hook', None) is _before_load for hook in hooks)


register_module_module_registration_hook(_watch)
