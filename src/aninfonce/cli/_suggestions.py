"""What a mistyped command or flag was probably meant to be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

__all__ = ["COMMANDS_ELSEWHERE", "FLAGS_ELSEWHERE", "meant_command", "meant_flag"]

# What others of this field call the same thing; of several names here the first that the command has is meant.
_SAME: Mapping[str, str] = {
    "rate": "lr learning-rate base-lr max-lr peak-lr",
    "rate-rule": "lr-scaling scale-lr",
    "concentration-rate": "loss-lr temperature-lr",
    "batch-size": "bs batch batchsize b",
    "epochs": "num-epochs n-epochs max-epochs epoch",
    "warmup-epochs": "warmup warm-up",
    "weight-decay": "wd decay l2",
    "optimizer": "optim opt optimiser",
    "backbone": "arch architecture model encoder network",
    "objective": "loss criterion method",
    "temperature": "tau t temp",
    "concentration": "lambda kappa",
    "trainable-temperature": "learnable-temperature learn-temperature",
    "projector-dim": "dim embedding-dim proj-dim out-dim projection-dim feature-dim",
    "projector-hidden": "hidden-dim proj-hidden-dim hidden",
    "projector-layers": "proj-layers num-proj-layers",
    "pretrained": "weights checkpoint ckpt init load-from",
    "data": "dataset images",
    "data-root": "data-dir data-path dataset-root root datadir",
    "augmentations": "aug augs augmentation transform transforms",
    "image-size": "img-size size resolution crop-size input-size",
    "limit": "subset max-images num-images n-images max-samples",
    "validation": "val val-split val-fraction val-size",
    "loggers": "logger log-to report-to wandb tensorboard",
    "readout-every": "eval-every eval-interval val-every",
    "checkpoint-minutes": "save-every save-interval checkpoint-every",
    "decode-workers": "num-workers n-workers dataloader-workers j",
    "workers": "num-workers n-workers jobs n-jobs j processes",
    "devices": "gpus num-gpus n-gpus num-devices nproc-per-node",
    "nodes": "num-nodes n-nodes nnodes",
    "accumulate": "grad-accum accumulate-grad-batches gradient-accumulation-steps accum",
    "sync-batch-norm": "sync-bn syncbn sync-batchnorm",
    "ema": "ema-decay momentum-ema",
    "precision": "amp fp16 bf16 half mixed-precision dtype",
    "device": "gpu cuda accelerator",
    "strategy": "ddp fsdp distributed",
    "out": "output output-dir out-dir save-dir log-dir logdir outdir o",
    "resume": "continue restart resume-from",
    "overwrite": "force f",
    "seed": "random-seed random-state manual-seed",
    "seeds": "repeats runs repetitions n-seeds num-seeds trials",
    "steps": "iterations num-steps n-steps max-steps iters",
    "quick": "fast smoke fast-dev-run dry-run",
    "every": "interval refresh",
    "format": "to",
}
FLAGS_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    other: tuple(ours for ours, names in _SAME.items() if other in names.split())
    for other in dict.fromkeys(" ".join(_SAME.values()).split())
}
COMMANDS_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("fit", "pretrain", "pretraining", "training"), "train"),
    **dict.fromkeys(("run", "experiment", "experiments", "repro", "paper"), "reproduce"),
    **dict.fromkeys(("encode", "features", "extract", "transform", "predict", "infer"), "embed"),
    **dict.fromkeys(("check", "test", "theory", "validate"), "verify"),
    **dict.fromkeys(("monitor", "tail", "plot", "show", "log", "logs"), "watch"),
    **dict.fromkeys(("convert", "save", "onnx"), "export"),
    **dict.fromkeys(("diff", "table"), "compare"),
    **dict.fromkeys(("pack", "tar", "webdataset"), "shards"),
}


def meant_command(name: str, commands: Sequence[str]) -> str | None:
    """The error for a command that there is not; None if there is."""
    if name in commands:
        return None
    near = COMMANDS_ELSEWHERE.get(name) or next(iter(get_close_matches(name, commands, n=1)), None)
    hint = f"; did you mean {near!r}?" if near in commands else "."
    return f"unknown command {name!r}{hint} Commands: {', '.join(commands)}; aninfonce --help describes them"


def meant_flag(arguments: Sequence[str], flags: Mapping[str, Sequence[str]]) -> str | None:
    """The error for the first flag that the command does not have; None if it has all.

    Arguments:
        arguments: the command and what follows it.
        flags: command -> the names of its flags, without dashes.
    """
    command, *rest = arguments
    known = flags[command]
    for argument in rest:
        if argument == "--":
            return None
        written, name = argument.partition("=")[0], _name(argument)
        if name is None or name.removeprefix("no-") in known:
            continue
        name = name.removeprefix("no-")
        told = f"unknown option {written} of 'aninfonce {command}'"
        near = [ours for ours in FLAGS_ELSEWHERE.get(name, ()) if ours in known]
        near = near or [ours for ours in known if ours.startswith(f"{name}-")] or get_close_matches(name, known, n=1)
        if near:
            return f"{told}; did you mean --{near[0]}?"
        others = [other for other, theirs in flags.items() if name in theirs]
        if others:
            return f"{told}; it is one of {' and '.join(f'aninfonce {other}' for other in others)}"
        return f"{told}; aninfonce {command} --help shows all"
    return None


def _name(argument: str) -> str | None:
    """The name of a flag, None for what is not one: a value, a negative number, or a flag that the parser adds."""
    found = re.fullmatch(r"--?([A-Za-z][\w.-]*)(=.*)?", argument, re.DOTALL)
    if found is None:
        return None
    name = found[1].replace("_", "-")
    return None if name in ("h", "help") or name.startswith("tyro-") else name
