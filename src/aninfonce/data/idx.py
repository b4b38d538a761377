"""The IDX file format of the MNIST family, gzipped or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from aninfonce.data.reading import retried, system_errno

__all__ = ["LARGEST", "read_idx"]

LARGEST = 2**30
"""Bytes that a file may unpack to; the largest of the family (EMNIST's training images) has half of that."""

_UINT8 = 0x08


def read_idx(path: Path) -> Tensor:
    """Read an IDX file of unsigned bytes.

    The header is two zero bytes, the type (8 for unsigned bytes), the number of dimensions, and each dimension as a
    big-endian 32-bit number; the entries follow in row-major order.

    Arguments:
        path: the file; gzip is recognised by its first two bytes, whatever the file is called.

    Returns:
        A uint8 tensor of the shape that the file states.

    Raises:
        ImageReadError: if the file cannot be read, tried several times.
        ValueError: if the file is not an IDX file of unsigned bytes, is damaged, is longer or shorter than it says, or
            has more than `LARGEST` bytes.

    References:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998: the format is described there.
    """
    content, zipped = retried(lambda: _read(path), str(path))
    if len(content) > LARGEST:
        raise ValueError(f"{path} has more than {LARGEST} bytes{' unpacked' if zipped else ''}, which are not read")
    if len(content) < 4 or content[:3] != bytes([0, 0, _UINT8]) or not content[3]:
        start_bytes = content[:4].hex(" ") or "nothing"
        raise ValueError(f"{path} is not an IDX file of unsigned bytes: it starts with {start_bytes}")
    dimensions = content[3]
    if dimensions > 4:
        raise ValueError(f"{path} has {dimensions} dimensions, expected at most 4: samples, rows, columns, channels")
    start = 4 + 4 * dimensions
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise ValueError(
            f"{path} is truncated or damaged: for its shape {tuple(shape)} it must have {expected} bytes, "
            f"got {len(content)}"
        )
    if not math.prod(shape):
        raise ValueError(f"{path} has no entries: its shape is {tuple(shape)}")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).reshape(shape)


def _read(path: Path) -> tuple[bytes, bool]:
    """A file's content, unpacked, and whether it was gzipped."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            return (gzip.GzipFile(fileobj=file) if zipped else file).read(LARGEST + 1), zipped
        except (OSError, EOFError, zlib.error) as error:
            if system_errno(error) is not None:
                raise
            raise ValueError(f"{path} is truncated or damaged: {error}") from error
