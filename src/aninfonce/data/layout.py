"""How folders of images are laid out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aninfonce.data.classes import all_classes, one_name
from aninfonce.data.findings import Findings, Ignored
from aninfonce.data.formats import image_endings
from aninfonce.data.listing import images_below, read_folder
from aninfonce.data.split_names import SplitNames, choose_splits, holds_splits

__all__ = ["FoundImages", "find_images", "split_folders", "split_rule"]


@dataclass(frozen=True)
class FoundImages:
    """The image files of a folder.

    Attributes:
        names: the names of the classes, sorted; empty if there are none.
        parts: class -> files, for training and held-out images, or for all. Without classes the files stand under "".
        findings: how the folder was read.
    """

    names: tuple[str, ...]
    parts: list[dict[str, list[Path]]]
    findings: Findings


def split_folders(path: Path, holds: Callable[[Path], bool]) -> tuple[list[Path], SplitNames]:
    """The folders of training and held-out images, or the one folder of all; and how they are called.

    Arguments:
        path: the folder of the data set.
        holds: whether a folder holds something to train on.

    Raises:
        ValueError: if the path is not a folder, or its folders are neither clearly splits nor clearly classes; see
            `choose_splits`.
    """
    if not path.is_dir():
        raise ValueError(
            f"{path} is not a folder of images: it {'is not a folder' if path.exists() else 'does not exist'}"
        )
    names = [folder.name for folder in read_folder(path, Ignored()).subfolders]
    chosen = choose_splits(names, str(path), lambda name: holds(path / name))
    roots = [path / name for name in (chosen.train, chosen.held_out) if name is not None]
    return roots or [path], chosen


def split_rule(chosen: SplitNames) -> str:
    """What was taken for the splits, in words."""
    if chosen.train is None:
        return "a fifth of every class is held out, drawn at random"
    if chosen.held_out is None:
        return f"trained on is {chosen.train}, of which a fifth of every class is held out, drawn at random"
    return f"trained on is {chosen.train}, held out is {chosen.held_out}, by their names"


def find_images(path: Path) -> FoundImages:
    """Image files of a folder: `train/…` with `test/…`, `val/…` or the like, or neither; in class folders, or just
    images.

    Classes are the folders right below, and hold the images of all folders below them.

    Raises:
        ValueError: if the folder is missing, unreadable or holds no image; images lie loose beside class folders; only
            one of its splits has class folders; or it is not clear what is a split, or a class (see `choose_splits`
            and `all_classes`).
    """
    ignored, followed, notes = Ignored(), list[Path](), list[str]()
    roots, chosen = split_folders(path, lambda folder: bool(images_below(folder, Ignored(), [])))
    if roots != [path]:
        _note_beside(path, chosen, ignored)
    parts = [_by_class(root, ignored, followed, notes) for root in roots]
    for root, found in zip(roots, parts, strict=True):
        if not found:
            raise ValueError(f"{root} holds no image: looked for files ending in {', '.join(image_endings())}")
    classes = sorted({name for found in parts for name in found})
    if "" in classes and len(classes) > 1:
        raise ValueError(
            f"{path}: train and test folder must both have class folders, or both none; got {classes[1:]} in one"
        )
    names = () if classes == [""] else tuple(sorted(all_classes([sorted(found) for found in parts], str(path))))
    labels = "the folders right below give the classes" if names else "none: there are no class folders"
    if followed:
        notes.append(f"{len(followed)} linked folders are followed, the first {followed[0]}")
    notes += _in_both(roots, parts, followed)
    return FoundImages(names, parts, Findings(split_rule(chosen), labels, ignored, tuple(notes)))


def _by_class(root: Path, ignored: Ignored, followed: list[Path], notes: list[str]) -> dict[str, list[Path]]:
    """Class -> image files below its folder; if no folder holds any, those of the root itself, under ""."""
    here = read_folder(root, ignored)
    found: dict[str, list[Path]] = {}
    for folder in here.subfolders:
        _check_no_splits_in(folder)
        if folder.is_symlink():
            followed.append(folder)
        images = images_below(folder, ignored, followed)
        if not images:
            ignored.add("folders without an image", folder)
            continue
        name = one_name(folder.name)
        if name in found:
            notes.append(f"{root} has two folders called {name}, with accents composed and not: they are one class")
        found[name] = sorted([*found.get(name, []), *images])
        if below := sorted({image.relative_to(folder).parts[0] for image in images if image.parent != folder}):
            notes.append(
                f"the class {name} has images in folders of its own ({', '.join(below[:3])}"
                f"{', …' if len(below) > 3 else ''}); if these are the classes, name {folder}"
            )
    if found and here.images:
        raise ValueError(
            f"{root} has {len(here.images)} images beside its class folders, the first {here.images[0].name}"
        )
    return found or ({"": here.images} if here.images else {})


def _check_no_splits_in(folder: Path) -> None:
    """A class that holds splits would be trained on with its test images."""
    inside = holds_splits([below.name for below in read_folder(folder, Ignored()).subfolders])
    if inside:
        raise ValueError(
            f"{folder} holds the splits {' and '.join(inside)}: name {folder} for its images alone; if it "
            f"is a class, put the splits above the classes, as {inside[0]}/{folder.name}"
        )


def _note_beside(path: Path, chosen: SplitNames, ignored: Ignored) -> None:
    """What lies beside the splits and is not used."""
    for image in read_folder(path, ignored).images:
        ignored.add("images beside the folders of the splits", image)
    for name in chosen.unused:
        for image in images_below(path / name, Ignored(), []):
            ignored.add(f"images in {name}, which is not one of the splits used", image)


def _in_both(roots: list[Path], parts: list[dict[str, list[Path]]], followed: list[Path]) -> list[str]:
    """A note if files are both trained on and held out. Only links can do that, and without any nothing is asked."""
    files = [[image for images in found.values() for image in images] for found in parts]
    if len(files) < 2 or not (followed or any(image.is_symlink() for image in [*files[0], *files[1]])):
        same = len(roots) > 1 and os.path.realpath(roots[0]) == os.path.realpath(roots[1])
        return [f"{roots[0]} and {roots[1]} are the same folder"] if same else []
    train, test = ({os.path.realpath(image) for image in part} for part in files)
    both = sorted(train & test)
    return [f"{len(both)} files are trained on and held out as well, by links; the first {both[0]}"] if both else []
