"""`aninfonce train` and `aninfonce compare`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from aninfonce import data as image_data
from aninfonce import report, training
from aninfonce._folder import RunFolder, claimed
from aninfonce._progress import Progress
from aninfonce._runs import RESULTS, read_results, write_results
from aninfonce._text import file_name
from aninfonce.cli._common import finish
from aninfonce.cli._output import say
from aninfonce.cli._processes import counted, ending_together
from aninfonce.cli._signals import asked_to_end
from aninfonce.training.config import TrainConfig
from aninfonce.training.memory import keep_freed_memory
from aninfonce.training.names import check_names
from aninfonce.training.stopping import Stop, breaking_off

__all__ = ["compare", "train"]

REPORT = "report.html"

# What may change when a run goes on: it does not change what is trained.
_FREE = ("device", "devices", "nodes", "strategy", "decode_workers", "loggers", "log_every", "checkpoint_minutes")


@dataclass(frozen=True)
class TrainFlags(TrainConfig):
    """The settings as the parser makes them: not checked yet, so that a bad one is reported in our one line."""

    def __post_init__(self) -> None:
        """Leave the checks to `checked`."""

    def checked(self) -> TrainConfig:
        """The settings, or ValueError."""
        return TrainConfig(**{field.name: getattr(self, field.name) for field in fields(self)})


def train(
    flags: TrainFlags,
    out: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Train an encoder on images, then read classes and augmentation parameters from backbone and projector.

    For several processes pass --devices and --nodes, or start the command under torchrun or SLURM's srun.

    Args:
        flags: the settings.
        out: folder for results.json, report.html, the weights and the figure; by default runs/DATA-METHOD-seed-SEED.
        overwrite: replace the run that is in the output folder.
        resume: continue a run that is in the output folder, also with more --epochs than before: from there on the
            learning rate follows the schedule of the larger number.
    """
    config = flags.checked()
    check_names(config)
    config = counted(config)
    keep_freed_memory()
    folder = out or Path("runs") / file_name(config.data, f"-{config.method}-seed-{config.seed}")
    settings = {"command": "train", **{k: v for k, v in asdict(config).items() if k not in _FREE}}
    processes = training.Processes(config)
    with ending_together(processes), ExitStack() as stack:
        claim = claimed(folder, settings, overwrite=overwrite, resume=resume, raising=("epochs",))
        place = processes.first(lambda: stack.enter_context(claim))
        stop = Stop()
        with asked_to_end(stop.ask), keeping_what_diverged(place):
            _train(config, folder, processes, stop, place)
            if processes.rank == 0:
                _report(folder, stop)


def _report(folder: Path, stop: Stop) -> None:
    """What is drawn from the results."""
    results = read_results(folder)
    with breaking_off(stop, f"stopped while the page was drawn; {RESULTS} and the weights are in {folder}"):
        pictures = report.training_figure(results, folder)
        report.write_training_page(folder / REPORT, results, pictures)
    finish(folder, report.training_table(results), [*pictures, folder / REPORT])


def _train(
    config: TrainConfig, folder: Path, processes: training.Processes, stop: Stop, place: RunFolder | None
) -> None:
    """The training; the first process, which has the run's folder, shows how it goes."""
    if place is None:
        training.train(config, folder, processes=processes, stop=stop)
        return
    with Progress(f"{config.method} on {config.data}") as progress:

        def on_data(dataset: image_data.ImageDataset) -> None:
            for path, reason in dataset.skipped:
                progress.say(f"skipped {path}: {reason}")
            skipped = f", {len(dataset.skipped)} skipped as unreadable" if dataset.skipped else ""
            for line in image_data.sentences(dataset.remarks, config.background):
                progress.say(line)
            progress.say(f"{len(dataset.train)} training and {len(dataset.test)} test images{skipped}")
            trained, held_out = training.numbers_of_images(config, len(dataset.train))
            if trained < len(dataset.train):
                kept = f", {held_out} are held out for validation" if held_out else ""
                progress.say(f"trained on {trained} of the {len(dataset.train)} training images{kept}")
                if config.limit is not None and config.data.startswith("folder:"):
                    progress.say(
                        f"note: folder:PATH decodes every image before some are chosen; --data files:PATH --image-size "
                        f"{dataset.image_size} decodes only those"
                    )
            for line in image_data.summary_lines(dataset):
                progress.say(line)

        def on_step(now: training.StepRecord) -> None:
            place.commit()
            note = (
                f"loss {now.loss:.3f}, Hit@1 {now.hit_at_1:.2f}, rank {now.effective_rank:.1f}, "
                f"{now.images_per_second:.0f} images/s"
            )
            progress.step(now.step, note, total=now.steps, aloud=False)

        def on_epoch(record: training.EpochRecord) -> None:
            progress.say(
                f"epoch {record.epoch}/{config.epochs}: loss {record.loss:.3f}, Hit@1 {record.hit_at_1:.2f}, "
                f"effective rank {record.effective_rank:.1f}, {record.images_per_second:.0f} images/s",
                quiet=True,
            )

        training.train(
            config,
            folder,
            processes=processes,
            on_data=on_data,
            on_start=place.begin,
            on_step=on_step,
            on_epoch=on_epoch,
            on_warning=lambda line: progress.say(f"warning: {line}"),
            stop=stop,
        )


@contextmanager
def keeping_what_diverged(place: RunFolder | None) -> Iterator[None]:
    """Around a training: what is known about a loss that is not finite at the first step stays, or the old run does."""
    try:
        yield
    except FloatingPointError as error:
        if place is not None and place.would_restore:
            raise FloatingPointError(
                f"{error} The old run is back in its place; nothing of the new one is left."
            ) from error
        if place is not None:
            place.commit()
        raise


def compare(
    runs: tuple[Path, ...],
    out: Path = Path("runs/compare"),
    overwrite: bool = False,
) -> None:
    """Put training runs side by side; runs that differ only in their seed are averaged.

    Args:
        runs: folders of training runs.
        out: folder for results.json and the figure (PNG and SVG).
        overwrite: replace the comparison that is in the output folder.
    """
    if not runs:
        raise ValueError("name at least one folder of a training run")
    results = [read_results(run) for run in runs]
    summary, notes = report.summarize(results), report.runs_not_measured(results, [str(run) for run in runs])
    per_seed = {f"{setting}/{name}": values for setting, found in summary.items() for name, values in found.items()}
    means = {name: report.mean_of_measured(values) for name, values in per_seed.items()}
    settings = {"command": "compare", "runs": [str(run) for run in runs]}
    missing = report.missing_control(list(summary))
    content = {"name": "compare", "runs": settings["runs"], "metrics": means, "per_seed": per_seed}
    with claimed(out, settings, overwrite=overwrite, resume=None) as folder:
        folder.begin()
        write_results(out, {**content, "missing_control": missing, "not_measured": notes})
        finish(out, report.compare_table(summary, notes), report.compare_figure(summary, out))
    if missing is not None:
        say(missing)
