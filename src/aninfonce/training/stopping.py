"""Why a training run may end before its last step, and what it leaves."""

from __future__ import annotations

__all__ = ["ElsewhereError", "PreemptedError"]


class PreemptedError(Exception):
    """The run was asked to stop: its checkpoint is written, and it can be continued from there."""


class ElsewhereError(RuntimeError):
    """Another process of the run has failed, and says why itself."""
