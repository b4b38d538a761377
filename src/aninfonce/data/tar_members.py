"""What is in a tar file, or in several that were put one behind the other: where each member's bytes are."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["TarMember", "tar_members"]

_BLOCK = tarfile.BLOCKSIZE
_ZEROS = 1 << 20  # read at a time, past an archive's end
_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}


@dataclass(frozen=True)
class TarMember:
    """A file in an archive.

    Attributes:
        archive: number of the archive in the tar file, from 0: labels belong to images of their own archive.
        name: as it is written, without `./` in front.
        offset: where its bytes begin in the tar file.
        size: how many they are.
        fault: why it cannot be read by place; "" if it can.
    """

    archive: int
    name: str
    offset: int = 0
    size: int = 0
    fault: str = ""


def tar_members(file: BinaryIO) -> Iterator[TarMember]:
    """The files in a tar file, in their order; of a link to another of them, that one's bytes.

    Tar files that were put one behind the other (`cat a.tar b.tar`) are read to the last.

    Raises:
        ValueError: if the file is compressed, empty, cut off, or damaged. A file that ends without the mark of an
            archive's end counts as cut off: its writer was killed, between two members.
        tarfile.TarError, OverflowError: if headers are damaged.
        OSError: if it cannot be read.
    """
    start = file.read(8)
    for magic, name in _COMPRESSIONS.items():
        if start.startswith(magic):
            raise ValueError(f"it is compressed with {name}; unpack it, since images are read from it by their places")
    archive, at = 0, 0
    length = file.seek(0, 2)
    while at < length:
        file.seek(at)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            yield from _files(tar, archive, length)
            end = tar.offset
        at = _next_archive(file, end, length)
        archive += 1
    if not archive:
        raise ValueError("it is empty")


def _files(tar: tarfile.TarFile, archive: int, length: int) -> Iterator[TarMember]:
    """The files of one archive."""
    there: dict[str, TarMember] = {}
    for member in tar:
        if member.isdir():
            continue
        name = _tidy(member.name)
        if member.offset_data + (member.size if member.isreg() else 0) > length:
            raise ValueError(f"it is cut off in {member.name}")
        if member.islnk() or member.issym():
            target = member.linkname if member.islnk() else posixpath.join(posixpath.dirname(name), member.linkname)
            found = there.get(_tidy(target))
            yield (
                TarMember(archive, name, fault="links to what is not before them in the archive")
                if found is None
                else TarMember(archive, name, found.offset, found.size, found.fault)
            )
            continue
        fault = "" if member.isreg() else "neither files nor links"
        if member.sparse is not None:
            fault = "sparse"
        there[name] = TarMember(archive, name, member.offset_data, member.size, fault)
        yield there[name]


def _tidy(name: str) -> str:
    return posixpath.normpath(name) if "./" in name else name


def _next_archive(file: BinaryIO, end: int, length: int) -> int:
    """Where the next archive begins behind the zeros that end one; the file's length if there is none.

    Raises:
        ValueError: if there are no zeros: `tarfile` takes a damaged header, and the file's end, for the archive's end.
    """
    file.seek(end)
    first = file.read(_BLOCK)
    if len(first) < _BLOCK and not first.strip(b"\0"):
        raise ValueError("it is cut off: the mark of an archive's end is missing")
    if first.strip(b"\0"):
        raise ValueError(f"damaged at byte {end}, which is neither a file's header nor the end")
    at = end + _BLOCK
    while piece := file.read(_ZEROS):
        rest = piece.lstrip(b"\0")
        if rest:
            found = at + len(piece) - len(rest)
            begin = end + (found - end) // _BLOCK * _BLOCK
            return begin
        at += len(piece)
    return length
