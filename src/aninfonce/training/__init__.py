"""Training on real images: one loop, checkpoints, readouts."""

from aninfonce.training.config import TrainConfig
from aninfonce.training.encoder import Encoder, load
from aninfonce.training.export import export_encoder
from aninfonce.training.loop import EpochRecord, fit
from aninfonce.training.readouts import encode, readouts
from aninfonce.training.run import TrainResult, train
from aninfonce.training.stopping import PreemptedError

__all__ = [
    "Encoder",
    "EpochRecord",
    "PreemptedError",
    "TrainConfig",
    "TrainResult",
    "encode",
    "export_encoder",
    "fit",
    "load",
    "readouts",
    "train",
]
