"""Load weights into models, and report exactly what was loaded."""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, printable
from .fit import fit_to, list_misfits
from .incoming import convert_incoming
from .read import read_checkpoint
from .state_dict import find_state_dict, is_finite, list_names, unwrap


@dataclass(frozen=True)
class LoadReport:
    """The result of :func:`load_published`; ``str`` returns one line.

    Attributes:
        source: the file, or 'a state dict'.
        loaded: names (of the model) of the tensors that were loaded.
        missing: names of the model that the source lacks; these tensors keep their values.
        unexpected: names of the source that the model has no place for.
        reshaped: names among ``loaded`` whose tensor has another shape in the source (a linear map as a 1x1
            convolution).
        nonfinite: names among ``loaded`` whose tensor holds NaN or infinite values; a warning names them as well.
        adapted: names among ``loaded`` whose tensor was adapted to another number of image channels.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    nonfinite: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing)
        return (
            f'{printable(self.source, 500)}: loaded {len(self.loaded)} of {total} tensors '
            f'({len(self.reshaped)} reshaped); missing: {_summary(self.missing)}; '
            f'unexpected: {_summary(self.unexpected)}'
            + (f'; not finite: {_summary(self.nonfinite)}' if self.nonfinite else '')
            + (f'; adapted from RGB to the channels of the images: {list_names(self.adapted)}' if self.adapted else '')
        )


def load_published(
    model: nn.Module,
    source: str | Path | Mapping,
    prefix: str | None = None,
    ema: bool = False,
    adapt_channels: bool = False,
) -> LoadReport:
    """Load a published checkpoint, or one of this package, into a backbone or classifier.

    The model keeps its values if anything raises. The classifier's last norm goes to a backbone whose last stage is its
    only output, where it does the same work; the published dense networks initialize theirs afresh as well.

    Args:
        model: a backbone of this package, or a module with one as ``model.backbone``.
        source: path, http(s) address, or a dict: a state dict or the content of a file.
        prefix: load what lies below this prefix of the source. Default None: it is found.
        ema: load the moving average of the weights (``model_ema``) that the source holds beside them. Default False.
        adapt_channels: load weights for RGB images into a model of another ``in_channels``, as timm does: one channel
            gets the sum over RGB, others get R, G, B, R, ... in turn, scaled by 3 / ``in_channels``. Default False.

    Returns:
        The report.

    Raises:
        CheckpointError: if the source cannot be read, lacks a part of the backbone body (stem and stages), has more
            blocks than the model, two names that are equal without their wrappers, or networks below several prefixes,
            or if the model is fused or not of this package; the error names the network that the source holds.
    """
    source_name = 'a state dict' if isinstance(source, Mapping) else printable(source, 500)
    content = source if isinstance(source, Mapping) else read_checkpoint(source)
    given = find_state_dict(content, prefix, ema)
    fit = fit_to(model, given, source_name, adapt_channels)
    nonfinite = _warn_of_nonfinite(source_name, fit.tensors)
    _load_all_or_nothing(model, fit.tensors, source_name)
    return LoadReport(
        source=source_name,
        loaded=tuple(fit.tensors),
        missing=tuple(name for name in fit.names if name not in fit.tensors and not fit.follows(name)),
        unexpected=fit.unexpected,
        reshaped=tuple(fit.reshaped),
        nonfinite=nonfinite,
        adapted=tuple(fit.adapted),
    )


def load_trained(model: nn.Module, source: str | Path) -> dict:
    """Load a checkpoint of mmengine's runner into the whole model that it was saved from, safely and strictly.

    A published file of the whole model, whose backbone has the names of the authors' code, is converted.

    Args:
        model: a detector, segmentor or classifier, wrapped for DDP or test-time augmentation or not.
        source: path or http(s) address.

    Returns:
        The content of the file; mmengine's runner keeps the classes under ``meta``, as ``dataset_meta``.

    Raises:
        CheckpointError: if the file cannot be read, or its tensors are not exactly those of the model, in names,
            shapes and kinds of numbers. The model keeps its values.
    """
    while inner := getattr(model, 'module', None) or getattr(model, '_orig_mod', None):
        model = inner
    source_name = printable(source, 500)
    content = read_checkpoint(source)
    given = find_state_dict(content, prefix='')
    convert_incoming(model, given)
    given = unwrap(given)
    targets = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    # A part of the model may be compiled now and not when it was saved, or the reverse.
    own_names = unwrap({name: name for name in targets})
    if wrong := list_misfits(given, {name: targets[own] for name, own in own_names.items()}):
        raise CheckpointError(
            f'{source_name} does not fit this {type(model).__name__} in {len(wrong)} places, e.g. it {wrong[0]}; '
            f'use it with its training config'
        )
    fitting = {own: given[name].to(targets[own].dtype) for name, own in own_names.items()}
    _warn_of_nonfinite(source_name, fitting)
    _load_all_or_nothing(model, fitting, source_name)
    return content


def _warn_of_nonfinite(source: str, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    nonfinite = tuple(name for name, tensor in tensors.items() if not is_finite(tensor))
    if nonfinite:
        warnings.warn(f'{source} holds NaN or infinite values in {list_names(nonfinite)}', stacklevel=3)
    return nonfinite


def _load_all_or_nothing(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Put tensors of the right names, shapes and types into a model, which keeps all its values if that fails."""
    targets = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    before = {name: tensor.detach().clone() for name, tensor in targets.items()}
    try:
        model.load_state_dict(tensors, strict=False)
    except Exception as error:
        with torch.no_grad():
            for name, tensor in targets.items():
                tensor.copy_(before[name])
        raise CheckpointError(
            f'{source} could not be loaded into this {type(model).__name__} '
            f'({type(error).__name__}: {printable(str(error))}); it keeps the values that it had'
        ) from error


def _summary(names: Iterable[str]) -> str:
    """Names grouped by their first part: 'head (2), norm0 (2)', or 'none'."""
    counts = Counter('.'.join(name.split('.')[: 2 if name.startswith('out_norms') else 1]) for name in names)
    return list_names([f'{printable(part, 60)} ({count})' for part, count in counts.items()], 20) or 'none'
