"""Whether a distribution checks its arguments."""

import torch


def validates(validate_args: bool | None) -> bool:
    """Return what the caller asked for; if that is None, do as Python's assert does: check unless run with `-O`.

    torch's own default is not followed: the first torch.compile or torch.export switches it off for the whole
    process, and from then on bad input would pass. Inside a compiled graph a check would only break the graph.
    """
    if validate_args is None:
        return __debug__ and not torch.compiler.is_compiling()
    return validate_args
