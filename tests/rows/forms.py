"""A few texts in each form in which text comes."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import datasets
import pyarrow.parquet

TEXTS = ["one, two", 'a "word"\nand a line', "Größe 数 🙂", "last"] * 30


def table(column: str = "text") -> datasets.Dataset:
    return datasets.Dataset.from_dict({"id": list(range(len(TEXTS))), column: TEXTS})


def write_json_lines(path: Path, column: str) -> None:
    rows = ({column: text, "id": i} for i, text in enumerate(TEXTS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_json_list(path: Path, column: str) -> None:
    path.write_text(json.dumps([{column: text, "id": 1} for text in TEXTS], indent=1))


def write_csv(path: Path, column: str) -> None:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([column, "id"])
        out.writerows([text, i] for i, text in enumerate(TEXTS))


def write_packed(path: Path, column: str) -> None:
    write_json_lines(path, column)
    path.write_bytes(gzip.compress(path.read_bytes()))


def write_parquet(path: Path, column: str) -> None:
    pyarrow.parquet.write_table(table(column).select_columns([column, "id"]).data.table, path)


def write_saved(path: Path, column: str) -> None:
    table(column).select_columns([column, "id"]).save_to_disk(path)
