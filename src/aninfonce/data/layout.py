"""How folders of images are laid out."""

from __future__ import annotations

from pathlib import Path

__all__ = ["IMAGE_SUFFIXES", "files_by_class", "find_images", "train_and_test"]

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Files with these endings, in small or capital letters, are taken for images; others are ignored."""


def train_and_test(path: Path) -> list[Path]:
    """The folders of training and test images, or the one folder of all.

    `train` with `test` or `val` below the path; `train` alone; or the path itself.

    Raises:
        ValueError: if the path is not a folder.
    """
    if not path.is_dir():
        raise ValueError(
            f"{path} is not a folder of images: it {'is not a folder' if path.exists() else 'does not exist'}"
        )
    train = path / "train"
    if not train.is_dir():
        return [path]
    test = next((path / name for name in ("test", "val") if (path / name).is_dir()), None)
    return [train] if test is None else [train, test]


def find_images(path: Path) -> tuple[tuple[str, ...], list[dict[str, list[Path]]]]:
    """Image files of a folder: `train/…` with `test/…` or `val/…`, or neither; in class folders, or just images.

    Returns:
        (the classes' names, empty if there are none; class -> files for training and test images, or for all). Without
        classes the files stand under "".

    Raises:
        ValueError: if the folder is missing or holds no image, images lie loose beside class folders, or only one of
            its train and test folder has class folders.
    """
    roots = train_and_test(path)
    parts = [files_by_class(root) for root in roots]
    names = sorted({name for found in parts for name in found})
    for root, found in zip(roots, parts, strict=True):
        if not found:
            raise ValueError(f"{root} holds no image: looked for files ending in {', '.join(IMAGE_SUFFIXES)}")
        if "" not in found and (loose := _images_of(sorted(root.iterdir()))):
            raise ValueError(f"{root} has {len(loose)} images beside its class folders, the first {loose[0].name}")
    if "" in names and len(names) > 1:
        raise ValueError(
            f"{path}: train and test folder must both have class folders, or both none; got {names[1:]} in one"
        )
    return () if names == [""] else tuple(names), parts


def files_by_class(root: Path) -> dict[str, list[Path]]:
    """Image files below each subfolder, sorted; if there are none, those of the folder itself, under the name ""."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = {folder.name: _images_of(sorted(folder.rglob("*"))) for folder in folders}
    found = {name: paths for name, paths in found.items() if paths}
    if found:
        return found
    loose = _images_of(sorted(root.iterdir()))
    return {"": loose} if loose else {}


def _images_of(paths: list[Path]) -> list[Path]:
    """Those that are image files by their names; links that lead nowhere count, and will be unreadable."""
    return [
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and (path.is_file() or (path.is_symlink() and not path.exists()))
    ]
