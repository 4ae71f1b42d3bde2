"""Pictures of truths and predictions: colours, label plates, legends, contact sheets."""

from .image import displayable
from .masks import paste_masks
from .sample import Drawing
from .sheet import contact_sheet, pair

__all__ = ['Drawing', 'contact_sheet', 'displayable', 'pair', 'paste_masks']
