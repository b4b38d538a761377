"""The table and the arrays say the same."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from aninfonce.cli import run
from aninfonce.training import TrainConfig, feature_file, train
from aninfonce.training.feature_file import SplitFeatures, write_npz, write_parquet


def split(name, n, labels=True, seed=0):
    rng = torch.Generator().manual_seed(seed)
    layers = {"backbone": torch.randn(n, 5, generator=rng), "projector": torch.randn(n, 3, generator=rng)}
    places = torch.arange(n) * 2  # as if every other file had been unreadable
    return SplitFeatures(name, layers, places, torch.arange(n) % 3 if labels else None)


def same(table, arrays, name):
    rows = table.filter(np.array(table["split"].to_pylist()) == name)
    assert rows.num_rows == len(arrays[f"{name}_places"])
    np.testing.assert_array_equal(rows["place"].to_numpy(), arrays[f"{name}_places"])
    for layer in ("backbone", "projector"):
        found = np.stack(rows[layer].to_numpy(zero_copy_only=False))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, arrays[f"{name}_{layer}"])
    return rows


def test_the_table_equals_the_arrays(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_file, "_ROWS", 4)
    splits = [split("train", 10), split("test", 3, labels=False, seed=1)]
    write_npz(tmp_path / "f.npz", splits)
    write_parquet(tmp_path / "f.parquet", splits, ("ant", "bee", "cat"))
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.schema.names == ["split", "place", "label", "class", "backbone", "projector"]
    assert table.schema.field("backbone").type.list_size == 5
    assert pq.ParquetFile(tmp_path / "f.parquet").num_row_groups == 4  # 4 + 4 + 2 rows, and 3
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        rows = same(table, arrays, "train")
        assert rows["label"].to_pylist() == arrays["train_labels"].tolist()
        assert rows["class"].to_pylist() == [("ant", "bee", "cat")[label] for label in arrays["train_labels"]]
        rows = same(table, arrays, "test")
        assert rows["label"].to_pylist() == rows["class"].to_pylist() == [None] * 3
        assert "test_labels" not in arrays.files


def test_what_is_not_known_has_no_column(tmp_path):
    write_parquet(tmp_path / "f.parquet", [split("train", 4)])
    assert pq.read_schema(tmp_path / "f.parquet").names == ["split", "place", "label", "backbone", "projector"]
    write_parquet(tmp_path / "f.parquet", [split("train", 4, labels=False)], ("ant",))
    assert pq.read_schema(tmp_path / "f.parquet").names == ["split", "place", "backbone", "projector"]


def test_a_failure_leaves_the_file_before(tmp_path):
    write_parquet(tmp_path / "f.parquet", [split("train", 4)])
    before = (tmp_path / "f.parquet").read_bytes()
    with pytest.raises(IndexError):
        write_parquet(tmp_path / "f.parquet", [split("train", 4)], ("ant",))  # a class without a name
    assert [path.name for path in tmp_path.iterdir()] == ["f.parquet"]
    assert (tmp_path / "f.parquet").read_bytes() == before


def test_the_command_writes_either(tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    train(TrainConfig(backbone="small:4", projector_dim=8, epochs=1, limit=128, device="cpu"), folder)
    for name in ("f.npz", "f.parquet"):
        assert run(["embed", str(folder), str(tmp_path / name)]) == 0
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        table = pq.read_table(tmp_path / "f.parquet")
        assert table.num_rows == 1797
        for name in ("train", "test"):
            rows = same(table, arrays, name)
            assert rows["class"].to_pylist() == [str(label) for label in arrays[f"{name}_labels"]]
    assert run(["embed", str(folder), str(tmp_path / "p.parquet"), "--layer", "projector"]) == 0
    assert "backbone" not in pq.read_schema(tmp_path / "p.parquet").names
    assert run(["embed", str(folder), str(tmp_path / "f.parquet"), "--layer", "head"]) == 2
    assert "unknown layer 'head'" in capsys.readouterr().err
