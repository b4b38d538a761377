"""`aninfonce reproduce`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any

from aninfonce import experiments, report, training
from aninfonce._checks import OneOf, nearest_name
from aninfonce._extras import MissingExtraError
from aninfonce._folder import RunFolder, claimed
from aninfonce._progress import Progress
from aninfonce._runs import read_json, write_json
from aninfonce.cli._common import FailedError, cores, finish, show
from aninfonce.cli._output import say

__all__ = ["reproduce"]

DEVICES = ("cpu", "cuda")
REPLACING = "replacing.json"


def reproduce(
    names: tuple[str, ...],
    list: bool = False,
    out: Path | None = None,
    quick: bool = False,
    seeds: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    data_root: Path | None = None,
    workers: int | None = None,
    device: Annotated[str, OneOf(DEVICES)] = "cpu",
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Run experiments of the paper, and compare them with the published figures and the theory.

    Args:
        names: an experiment (see --list), several of them, or "all". Several also write a common page, index.html.
        list: list the experiments, with what they show, the values they are compared with, and their cost.
        out: folder for results.json, the figures (PNG and SVG) and every finished run; by default runs/NAME.
        quick: use smaller settings, which show the effects roughly.
        seeds: number of repetitions, each with another mixing; they run in parallel on the available cores. The default
            is the experiment's own.
        seed: seed of the first repetition; the others count up from it.
        steps: number of optimiser steps; by default the experiment's own, for which its expected values are meant.
        data_root: folder with the data, for experiments on images that are not generated.
        workers: number of processes; by default one for each core, and one on a GPU.
        device: cpu or cuda.
        overwrite: replace the run that is in the output folder.
        resume: continue the run that is in the output folder, also with more seeds; finished runs are not repeated.
    """
    if list:
        show(report.experiments_table([_listed(experiment) for experiment in experiments.EXPERIMENTS.values()]))
        return
    if not names:
        raise ValueError("name an experiment, or all; --list shows them")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    from aninfonce._tensor_checks import check_device  # with torch

    check_device(nearest_name("device", device, DEVICES))
    chosen = _choose(names)
    given = {"seeds": seeds, "first_seed": seed, "steps": steps, "data_root": data_root}
    configs = [_configure(experiment, given, quick, strict=len(chosen) == 1) for experiment in chosen]
    for config in configs:
        config.study()  # a setting that does not fit is reported before anything runs
    if workers is None:
        workers = 1 if device == "cuda" else cores()
    if names != ("all",) and len(configs) == 1:
        folder = out or Path("runs") / configs[0].name
        with _claimed(configs[0], folder, overwrite=overwrite, resume=resume) as place:
            results = _run(configs[0], place, workers, device)
            if results["references"]:
                show(report.reference_table(results))
            finish(folder, report.study_table(results), report.study_figures(results, folder))
        return
    folder = out or Path("runs") / ("all" if names == ("all",) else "several")
    marker = {"command": "reproduce", "names": [config.name for config in configs], "quick": quick}
    with claimed(folder, marker, overwrite=overwrite, resume=resume) as place:
        replaced = _still_to_replace(folder, configs, overwrite=overwrite)
        place.begin()
        _run_many(configs, place, replaced, workers, device)


def _choose(names: tuple[str, ...]) -> list[type[experiments.Experiment]]:
    if names == ("all",):
        return [experiment for experiment in experiments.EXPERIMENTS.values() if experiment.included]
    return [
        experiments.EXPERIMENTS[nearest_name("experiment", name, experiments.EXPERIMENTS)]
        for name in dict.fromkeys(names)
    ]


def _configure(
    experiment: type[experiments.Experiment], given: dict[str, Any], quick: bool, *, strict: bool
) -> experiments.Experiment:
    """The experiment's settings with those the user gave; one it does not have is an error if `strict`."""
    known = {field.name for field in fields(experiment)}
    chosen = {name: value for name, value in given.items() if value is not None}
    unknown = sorted(chosen.keys() - known)
    if unknown and strict:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in unknown)
        raise ValueError(f"{experiment.name} does not take {flags}")
    config = experiment().quick() if quick else experiment()
    return replace(config, **{name: value for name, value in chosen.items() if name in known})


def _claimed(
    config: experiments.Experiment, folder: Path, *, overwrite: bool, resume: bool
) -> AbstractContextManager[RunFolder]:
    """The folder of one experiment, which may be resumed with more seeds."""
    settings = {name: value for name, value in asdict(config).items() if name not in ("seeds", "first_seed")}
    marker = {"command": "reproduce", "name": config.name, **settings}
    return claimed(folder, marker, overwrite=overwrite, resume=resume)


def _run(config: experiments.Experiment, place: RunFolder, workers: int, device: str) -> dict[str, Any]:
    """Run one experiment; returns the content of its results.json."""
    study = config.study()
    place.begin()
    with Progress(f"{config.name}: {study.title}", total=len(study.jobs())) as progress:

        def on_done(job: experiments.Job, outcome: experiments.Outcome, result: experiments.Result) -> None:
            place.commit()
            scores = report.scores(outcome.metrics, study.columns)
            progress.step(len(result.outcomes), f"{job.method} seed {job.seed}: {scores}")
            for line in training.reasons(outcome.details.get("not_measured", {})):
                progress.say(f"warning: {job.method} seed {job.seed}: {line}")

        result = experiments.run_study(
            study,
            place.path,
            workers=workers,
            device=device,
            on_done=on_done,
            on_warning=lambda line: progress.say(f"warning: {line}"),
        )
        return result.as_json()


def _still_to_replace(folder: Path, configs: list[experiments.Experiment], *, overwrite: bool) -> set[str]:
    """The experiments whose old runs in the folder have to give way, also those of a call that was broken off."""
    if overwrite:
        return {config.name for config in configs}
    if not (folder / REPLACING).is_file():
        return set()
    return {str(name) for name in read_json(folder / REPLACING).get("names", ())}


def _note_replaced(folder: Path, replaced: set[str]) -> None:
    if replaced:
        write_json(folder / REPLACING, {"names": sorted(replaced)})
    else:
        (folder / REPLACING).unlink(missing_ok=True)


def _run_many(
    configs: list[experiments.Experiment], place: RunFolder, replaced: set[str], workers: int, device: str
) -> None:
    """Run one experiment after the other and write the page anew after each; a failed one does not stop the rest.

    Arguments:
        configs: the experiments, each with a folder of its own in the place.
        place: the folder of all.
        replaced: names of those whose old runs give way; the others go on.
        workers: processes.
        device: the device of every process.
    """
    done: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    folder = place.path
    page = folder / "index.html"
    _note_replaced(folder, replaced)
    place.commit()
    for config in configs:
        anew = config.name in replaced
        try:
            with _claimed(config, folder / config.name, overwrite=anew, resume=not anew) as own:
                results = _run(config, own, workers, device)
                replaced.discard(config.name)
                _note_replaced(folder, replaced)
                pictures = report.study_figures(results, folder / config.name)
        except (ValueError, ArithmeticError, OSError, MissingExtraError) as error:
            failures[config.name] = str(error)
            say(f"{config.name} failed: {error}")
        else:
            done.append({**results, "pictures": pictures})
        report.write_page(page, done, failures)
    show(report.summary_table(done, failures))
    say(page)
    if failures:
        raise FailedError(f"{len(failures)} of {len(configs)} experiments failed: {', '.join(failures)}")


def _listed(experiment: type[experiments.Experiment]) -> dict[str, Any]:
    study = experiment().study()
    return {
        "name": experiment.name,
        "shows": experiment.shows,
        "references": [r.__dict__ for r in study.references],
        "runs": len(study.jobs()),
        "core_seconds": experiment.core_seconds,
        "included": experiment.included,
    }
