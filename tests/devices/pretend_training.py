"""Lightning Fabric on the card that is not there."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from pretend_cuda import CUDA

from aninfonce.training import processes


class _Card(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        assert device.type != "cpu"


def on_the_card(monkeypatch: Any, card: torch.device = CUDA) -> None:
    """From now on the training's processes find this card, by its name or by --device auto."""

    class PretendFabric:
        @staticmethod
        def Fabric(accelerator: str, **settings: Any) -> Fabric:  # noqa: N802 (Lightning's name)
            assert accelerator in (card.type, "auto")
            settings["strategy"] = SingleDeviceStrategy(device=card, accelerator=_Card())
            return Fabric(**settings)

    monkeypatch.setattr(processes, "require", lambda *_: PretendFabric)
