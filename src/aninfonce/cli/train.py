"""`aninfonce train` and `aninfonce compare`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from aninfonce import report
from aninfonce._progress import Progress
from aninfonce._runs import RESULTS, prepare_folder, read_results, write_results
from aninfonce.cli._common import finish
from aninfonce.cli._processes import counted, ending_together
from aninfonce.cli._signals import asked_to_end
from aninfonce.data import ImageDataset
from aninfonce.training import EpochRecord, Processes, StepRecord, Stop, TrainConfig
from aninfonce.training import train as train_encoder
from aninfonce.training.memory import keep_freed_memory
from aninfonce.training.stopping import breaking_off

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

    Several processes: --devices and --nodes, or under torchrun or SLURM's srun, which are found.

    Args:
        flags: the settings.
        out: folder for results.json, report.html, the weights and the figure; default runs/DATA-METHOD-seed-SEED.
        overwrite: replace a run that is in the output folder.
        resume: continue a run that is in the output folder.
    """
    config = counted(flags.checked())
    keep_freed_memory()
    source = config.data.replace(":", "-").replace("/", "-")
    folder = out or Path("runs") / f"{source}-{config.method}-seed-{config.seed}"
    settings = {"command": "train", **{k: v for k, v in asdict(config).items() if k not in _FREE}}
    processes = Processes(config)
    with ending_together(processes):
        processes.first(lambda: prepare_folder(folder, settings, overwrite=overwrite, resume=resume))
        stop = Stop()
        with asked_to_end(stop.ask):
            _train(config, folder, processes, stop)
            if processes.rank == 0:
                _report(folder, stop)


def _report(folder: Path, stop: Stop) -> None:
    """What is drawn from the results."""
    results = read_results(folder)
    with breaking_off(stop, f"stopped while the page was drawn; {RESULTS} and the weights are in {folder}"):
        pictures = report.training_figure(results, folder)
        report.write_training_page(folder / REPORT, results, pictures)
    finish(folder, report.training_table(results), [*pictures, folder / REPORT])


def _train(config: TrainConfig, folder: Path, processes: Processes, stop: Stop) -> None:
    """The training; the first process shows how it goes."""
    if processes.rank:
        train_encoder(config, folder, processes=processes, stop=stop)
        return
    with Progress(f"{config.method} on {config.data}") as progress:

        def on_data(dataset: ImageDataset) -> None:
            for path, reason in dataset.skipped:
                progress.say(f"skipped {path}: {reason}")
            skipped = f", {len(dataset.skipped)} skipped as unreadable" if dataset.skipped else ""
            progress.say(f"{len(dataset.train)} training and {len(dataset.test)} test images{skipped}")

        def on_step(now: StepRecord) -> None:
            note = (
                f"loss {now.loss:.3f}, Hit@1 {now.hit_at_1:.2f}, rank {now.effective_rank:.1f}, "
                f"{now.images_per_second:.0f} images/s"
            )
            progress.step(now.step, note, total=now.steps, aloud=False)

        def on_epoch(record: EpochRecord) -> None:
            progress.say(
                f"epoch {record.epoch}/{config.epochs}: loss {record.loss:.3f}, Hit@1 {record.hit_at_1:.2f}, "
                f"effective rank {record.effective_rank:.1f}, {record.images_per_second:.0f} images/s",
                quiet=True,
            )

        train_encoder(
            config,
            folder,
            processes=processes,
            on_data=on_data,
            on_step=on_step,
            on_epoch=on_epoch,
            on_warning=lambda line: progress.say(f"warning: {line}"),
            stop=stop,
        )


def compare(
    runs: tuple[Path, ...],
    out: Path = Path("runs/compare"),
    overwrite: bool = False,
) -> None:
    """Put training runs side by side; runs that differ in nothing but their seed are averaged.

    Args:
        runs: folders of training runs.
        out: folder for results.json and the figure (PNG and SVG).
        overwrite: replace a comparison that is in the output folder.
    """
    if not runs:
        raise ValueError("name at least one folder of a training run")
    results = [read_results(run) for run in runs]
    summary, notes = report.summarize(results), report.runs_not_measured(results, [str(run) for run in runs])
    prepare_folder(out, {"command": "compare", "runs": [str(run) for run in runs]}, overwrite=overwrite, resume=None)
    per_seed = {f"{setting}/{name}": values for setting, found in summary.items() for name, values in found.items()}
    means = {name: report.mean_of_measured(values) for name, values in per_seed.items()}
    content = {"name": "compare", "runs": [str(r) for r in runs], "metrics": means, "per_seed": per_seed}
    write_results(out, {**content, "not_measured": notes})
    finish(out, report.compare_table(summary, notes), report.compare_figure(summary, out))
