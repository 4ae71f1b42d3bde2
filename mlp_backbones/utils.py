"""The function that ``mmengine.hub.get_model`` calls in each package of OpenMMLab."""


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register the backbones, which the import of this package has done already.

    Args:
        init_default_scope: for mmengine's sake, and not used: the configs name their library's scope. Default True.
    """
