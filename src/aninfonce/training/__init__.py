"""Training on real images: one loop, checkpoints, readouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aninfonce._lazy import lazily

if TYPE_CHECKING:
    from aninfonce.training.config import TrainConfig
    from aninfonce.training.encoder import Encoder, load
    from aninfonce.training.export import export_encoder
    from aninfonce.training.feature_file import SplitFeatures, path_text, write_npz, write_parquet
    from aninfonce.training.loop import fit
    from aninfonce.training.processes import Processes
    from aninfonce.training.readouts import encode, readouts, reasons
    from aninfonce.training.records import EpochRecord, StepRecord
    from aninfonce.training.run import TrainResult, numbers_of_images, train
    from aninfonce.training.seen import remarks_of
    from aninfonce.training.stopping import ElsewhereError, PreemptedError, Stop

lazily(
    __name__,
    {
        "config": ["TrainConfig"],
        "encoder": ["Encoder", "load"],
        "export": ["export_encoder"],
        "feature_file": ["SplitFeatures", "path_text", "write_npz", "write_parquet"],
        "loop": ["fit"],
        "processes": ["Processes"],
        "readouts": ["encode", "readouts", "reasons"],
        "records": ["EpochRecord", "StepRecord"],
        "run": ["TrainResult", "numbers_of_images", "train"],
        "seen": ["remarks_of"],
        "stopping": ["ElsewhereError", "PreemptedError", "Stop"],
    },
)

__all__ = [
    "ElsewhereError",
    "Encoder",
    "EpochRecord",
    "PreemptedError",
    "Processes",
    "SplitFeatures",
    "StepRecord",
    "Stop",
    "TrainConfig",
    "TrainResult",
    "encode",
    "export_encoder",
    "fit",
    "load",
    "numbers_of_images",
    "path_text",
    "readouts",
    "reasons",
    "remarks_of",
    "train",
    "write_npz",
    "write_parquet",
]
