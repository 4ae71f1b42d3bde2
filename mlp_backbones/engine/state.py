"""The state of a training that mmengine does not save: random generators, plain attributes, hooks."""

import copy
import pickle
import random

import numpy as np
import torch
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

# What every module has; the rest of its attributes are its own.
_MODULE_ATTRIBUTES = frozenset(vars(torch.nn.Module()))


def random_state() -> dict:
    """The state of all generators in this process, in plain containers and tensors."""
    name, keys, *rest = np.random.get_state()
    return dict(
        python=random.getstate(),
        numpy=(name, keys.tolist(), *rest),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    )


def set_random_state(state: dict) -> None:
    version, keys, gauss = state['python']
    random.setstate((version, tuple(keys), gauss))
    np.random.set_state(tuple(state['numpy']))
    torch.set_rng_state(state['torch'].cpu())
    if len(state['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state['cuda']])


def optim_wrappers(runner: Runner) -> list:
    wrapper = runner.optim_wrapper
    return list(wrapper.optim_wrappers.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def parameters(wrapper: object) -> list[torch.nn.Parameter]:
    return [parameter for group in wrapper.optimizer.param_groups for parameter in group['params']]


def owners(runner: Runner) -> dict[str, object]:
    """All modules of the model, and the objects that they hold, by a name that is the same after a restart."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    found = {}
    for name, module in model.named_modules():
        found[name] = module
        known = ('mm', type(module).__module__)  # not loggers, devices or what else torch and Python have
        for key, value in vars(module).items():
            if key not in _MODULE_ATTRIBUTES:
                for number, held in enumerate(value if isinstance(value, (list, tuple)) else [value]):
                    is_object = hasattr(held, '__dict__') and not isinstance(held, (torch.nn.Module, type, dict))
                    if is_object and not callable(held) and type(held).__module__.startswith(known):
                        found[f'{name}:{key}:{number}'] = held
    return found


def plain(owner: object) -> dict[str, object]:
    """The attributes that are data: numbers, text, tensors outside of the state dict, and containers of them."""
    skipped = _MODULE_ATTRIBUTES if isinstance(owner, torch.nn.Module) else ()
    return {key: value for key, value in vars(owner).items() if key not in skipped and _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, torch.Tensor):
        return type(value) is torch.Tensor and value.grad_fn is None
    if type(value) is dict:
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if type(value) in (list, tuple):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (bool, int, float, str) or isinstance(value, (np.ndarray, np.generic))


def fingerprint(value: object) -> int:
    return hash(pickle.dumps(value))


def fingerprints(runner: Runner) -> dict[str, dict[str, int]]:
    return {
        name: {key: fingerprint(value) for key, value in plain(owner).items()} for name, owner in owners(runner).items()
    }


def hooks_with_state(runner: Runner) -> dict[str, Hook]:
    hooks = [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook) or hasattr(hook, 'state_dict')]
    return {f'{number} {type(hook).__name__}': hook for number, hook in enumerate(hooks)}


def hook_state(hook: Hook) -> dict:
    if hasattr(hook, 'state_dict'):
        return copy.deepcopy(hook.state_dict())
    return dict(wait_count=hook.wait_count, best_score=float(hook.best_score))


def load_hook(hook: Hook, state: dict) -> None:
    if hasattr(hook, 'load_state_dict'):
        hook.load_state_dict(state)
    else:
        hook.wait_count, hook.best_score = state['wait_count'], state['best_score']
