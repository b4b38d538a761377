"""Training on real images: one loop, checkpoints, readouts."""

from aninfonce.training.config import TrainConfig
from aninfonce.training.encoder import Encoder, load
from aninfonce.training.export import export_encoder
from aninfonce.training.loop import fit
from aninfonce.training.processes import Processes
from aninfonce.training.readouts import encode, readouts
from aninfonce.training.records import EpochRecord, StepRecord
from aninfonce.training.run import TrainResult, train
from aninfonce.training.stopping import ElsewhereError, PreemptedError, Stop

__all__ = [
    "ElsewhereError",
    "Encoder",
    "EpochRecord",
    "PreemptedError",
    "Processes",
    "StepRecord",
    "Stop",
    "TrainConfig",
    "TrainResult",
    "encode",
    "export_encoder",
    "fit",
    "load",
    "readouts",
    "train",
]
