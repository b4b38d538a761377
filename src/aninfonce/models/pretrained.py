"""Initial weights of a backbone from a file of others: found whatever wraps them, and all of them or none.

A file holds tensors by name, at its top or under a key such as "state_dict", and their names may have a prefix, such as
"module.encoder_q.". Both are found by looking where the most of the backbone's own names are. If two places have as
many (the two networks of a teacher and a student), the teacher is taken, and a network that is trained rather than its
moving average.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aninfonce._tensors import read_tensors
from aninfonce.models.backbones import Backbone

__all__ = ["load_pretrained"]

_TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".bin")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher", "student", "encoder", "backbone", "network")
_LAST = ("momentum", "encoder_k", "ema", "target", "student")
# Follow from the shapes, or only count: not every version of a library saves them.
_DERIVED = ("num_batches_tracked", "relative_position_index", "relative_coords_table", "attn_mask")
_NAMED = 5  # tensors that an error names


def load_pretrained(backbone: nn.Module, path: Path) -> None:
    """Load a backbone's weights from a file: all of them, or an error and the backbone as it was.

    Arguments:
        backbone: a network from `make_backbone`, or any module. Its classifier's weights and those of projectors
            and predictors beside it are ignored.
        path: .safetensors (also a run's own model.safetensors), or a file of `torch.save`: .pt, .pth, .ckpt, .tar or
            .bin. The latter are read with `weights_only=True`: code that a pickle holds is refused, not run.

    Raises:
        ValueError: if the file is missing or damaged or holds more than tensors and plain values, if it lacks weights
            of the backbone or has another shape or kind of number for them, or entries are not finite, or if it belongs
            to a larger network. The message names the tensors.
    """
    network = backbone.network if isinstance(backbone, Backbone) else backbone
    head = backbone.head if isinstance(backbone, Backbone) else ()
    wanted = network.state_dict()
    found = _locate(_read(path), wanted)
    needed = [name for name in wanted if not name.endswith(_DERIVED)]
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(
            f"{path} has {len(needed) - len(missing)} of the {len(needed)} tensors of the backbone; missing: "
            f"{_listed(missing)}"
        )
    larger = _of_a_larger_network(found, wanted, head)
    if larger:
        raise ValueError(f"{path} belongs to another, larger network; it also has {_listed(larger)}")
    unlike = [
        f"{name} {tuple(found[name].shape)} in the file, {tuple(tensor.shape)} in the backbone"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if unlike:
        hint = _hint(found, wanted)
        raise ValueError(f"{path} does not fit the backbone: {_listed(unlike, '; ')}{hint}")
    for name in wanted:
        if name in found:
            _check_numbers(path, name, found[name], wanted[name])
    with torch.no_grad():
        for name, tensor in wanted.items():
            if name in found:
                tensor.copy_(found[name])


def _read(path: Path) -> Mapping[Any, Any]:
    if not path.is_file():
        raise ValueError(f"no pretrained weights at {path}")
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    if path.suffix not in _TORCH_SUFFIXES:
        raise ValueError(f"pretrained weights must be .safetensors or {', '.join(_TORCH_SUFFIXES)}, got {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} is not a file of tensors and plain values that is safe to read: {reason}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} must hold tensors by name, got {type(content).__name__}")
    return content


def _locate(content: Mapping[Any, Any], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors below the wrapper and the prefix that have most of the wanted names, without either."""
    best: tuple[tuple[int, int], dict[str, Tensor]] = ((-1, 0), {})
    for wrapper, tensors in _wrapped(content):
        counts: Counter[str] = Counter()
        for name in tensors:
            starts = [0, *(i + 1 for i, letter in enumerate(name) if letter == ".")]
            counts.update(name[:start] for start in starts if name[start:] in wanted)
        for prefix, count in counts.items():
            score = (count, -_rank(wrapper + prefix))
            if score > best[0]:
                below = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
                best = (score, below)
    return best[1]


def _wrapped(content: Mapping[Any, Any], path: str = "", depth: int = 3) -> list[tuple[str, dict[str, Tensor]]]:
    """(path of the wrapper, tensors by name), for the top and everything under a known key."""
    places = [(path, {name: value for name, value in content.items() if isinstance(name, str) and _is_plain(value)})]
    for key in _WRAPPERS:
        inner = content.get(key)
        if isinstance(inner, Mapping) and depth:
            places += _wrapped(inner, f"{path}{key}.", depth - 1)
    return places


def _is_plain(value: object) -> bool:
    """Whether it is a tensor whose entries can be read: not sparse, nested, quantised or without storage."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_nested or value.is_quantized)
    )


def _rank(place: str) -> int:
    """0 for a teacher, 2 for a student or for what only follows another network, 1 for everything else."""
    if "teacher" in place:
        return 0
    return 2 if any(word in place for word in _LAST) else 1


def _of_a_larger_network(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], head: tuple[str, ...]) -> list[str]:
    """Tensors inside the backbone's own parts that it has no place for; what stands beside them is of other heads."""
    own = {name.partition(".")[0] for name in wanted}
    return [
        name
        for name in found
        if name not in wanted
        and name.partition(".")[0] in own
        and not name.endswith(_DERIVED)
        and not any(name.startswith(f"{path}.") for path in head)
    ]


def _hint(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What the first filters say about the two networks."""
    name = next((name for name, tensor in wanted.items() if tensor.ndim == 4 and name in found), None)
    if name is None or found[name].ndim != 4:
        return ""
    theirs, ours = found[name].shape, wanted[name].shape
    if theirs[2:] != ours[2:] and ours[2:] == (3, 3):
        return ". The file's network has the stem for large images, this one the stem for small ones (up to 64 pixels)"
    if theirs[2:] != ours[2:] and theirs[2:] == (3, 3):
        return ". The file's network has the stem for small images, this one the stem for large ones (above 64 pixels)"
    if theirs[1] != ours[1]:
        return f". The file's network takes images of {theirs[1]} channels, these have {ours[1]}"
    return ""


def _check_numbers(path: Path, name: str, tensor: Tensor, like: Tensor) -> None:
    if tensor.is_floating_point() != like.is_floating_point() or tensor.is_complex():
        raise ValueError(f"{path}: {name} must be of {like.dtype} or a like kind of number, got {tensor.dtype}")
    if not bool(torch.isfinite(tensor.float()).all()):
        raise ValueError(f"{path}: {name} has entries that are NaN or infinite")


def _listed(names: list[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return separator.join(names[:_NAMED]) + more
