"""The image files below a folder, and what is passed over."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from aninfonce.data.findings import Ignored
from aninfonce.data.formats import has_ending, image_endings, looks_like_image, unreadable_ending

__all__ = ["HIDDEN", "Folder", "images_below", "is_hidden", "read_folder"]

HIDDEN = "hidden, or kept by a system or an editor for itself"
"""Why such files are ignored."""

# Besides names with a dot in front: archives from macOS, thumbnails of network drives, wastebaskets, caches.
_SYSTEM = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__", "thumbs.db"}
    | {"desktop.ini"}
)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or a system's own."""
    return name.startswith(".") or name.casefold() in _SYSTEM


@dataclass
class Folder:
    """What lies in a folder, each sorted by name: image files, folders, and links to folders."""

    images: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)

    @property
    def subfolders(self) -> list[Path]:
        """Folders and links to folders, sorted."""
        return sorted([*self.folders, *self.links])


def read_folder(folder: Path, ignored: Ignored) -> Folder:
    """What lies in a folder; what is passed over goes to `ignored`.

    Files are images by their ending, in small or capital letters; those without an ending, by their first bytes. A
    link that leads nowhere and has an image's ending counts as an image, and will be unreadable.

    Raises:
        ValueError: if the folder cannot be listed, or what is in it cannot be looked at.
    """
    found = Folder()
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                _sort_in(entry, found, ignored)
    except OSError as error:
        raise ValueError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    return found


def _sort_in(entry: os.DirEntry[str], found: Folder, ignored: Ignored) -> None:
    path = Path(entry.path)
    if is_hidden(entry.name):
        ignored.add(HIDDEN, path)
    elif _leads_nowhere(entry):
        if path.suffix.lower() in image_endings():
            found.images.append(path)
        else:
            ignored.add("links that lead nowhere", path)
    elif entry.is_dir():
        (found.links if entry.is_symlink() else found.folders).append(path)
    elif not entry.is_file():
        ignored.add("neither files nor folders", path)  # opening a pipe would wait for ever
    elif reason := _no_image(path):
        ignored.add(reason, path)
    else:
        found.images.append(path)


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    if not entry.is_symlink():
        return False
    try:
        entry.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return True
        raise
    return False


def _no_image(path: Path) -> str | None:
    """Why the file is not taken for an image; None if it is."""
    ending = path.suffix.lower()
    if ending in image_endings():
        return None
    if not has_ending(path.name):
        return None if looks_like_image(path) else "files without an ending that do not begin as an image"
    return unreadable_ending(ending) or f"files ending in {ending}"


def images_below(folder: Path, ignored: Ignored, followed: list[Path]) -> list[Path]:
    """The image files of a folder and of all folders below it, sorted.

    Links to folders are followed, after the folders that lie there themselves, and go to `followed`. A folder that was
    read by another way already, or that holds the one where the search began, is not read again.

    Raises:
        ValueError: if a folder cannot be read.
    """
    home = Path(os.path.realpath(folder))
    images: list[Path] = []
    seen = {str(home)}
    waiting, links = [folder], list[Path]()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        if here is not folder:
            real = os.path.realpath(here)
            if real in seen or home.is_relative_to(real):
                ignored.add("links to folders that are read already", here)
                continue
            seen.add(real)
            if here.is_symlink():
                followed.append(here)
        found = read_folder(here, ignored)
        images += found.images
        waiting += reversed(found.folders)
        links += found.links
    return sorted(images)
