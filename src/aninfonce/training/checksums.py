"""Checksums by which a file is known to be the one that was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["checksum", "digest"]


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(body: Mapping[str, Any]) -> str:
    """SHA-256 of what a JSON object says, hexadecimal, however it is laid out in its file."""
    # Once through JSON: what is compared is what a reader would get.
    return hashlib.sha256(json.dumps(json.loads(json.dumps(body)), sort_keys=True).encode()).hexdigest()
