"""Row 123: the card of a model, and how the model is loaded."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoTokenizer

from lmtrainer.contract.loading import loading_lines
from lmtrainer.dataset import open_prepared
from lmtrainer.evaluate import card
from lmtrainer.evaluate.measure import Totals
from lmtrainer.models import build
from tests.rows import engines, small_run


def test_row_123_the_card_lists_data_results_and_settings(finished: Path) -> None:
    text = (finished / "model" / card.FILE).read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    results = json.loads((finished / "all_results.json").read_text())
    [model] = front["model-index"]
    [found] = model["results"]
    assert found["dataset"]["name"].endswith("/text.txt")
    measured = {metric["type"]: metric["value"] for metric in found["metrics"]}
    assert measured == {
        name: results[name] for name in ("perplexity", "eval_loss", "eval_accuracy")
    }
    assert front["pipeline_tag"] == "fill-mask"
    assert f"| perplexity | {results['perplexity']:,.4f} |" in text
    assert "/text.txt`" in text
    assert re.search(r"\| parameters \| [\d,]{3,} \|", text)
    assert "| `short` | 4 | 4 | 16 | 0.0001 | linear |" in text


def test_row_123_what_the_card_says_loads_the_model(finished: Path) -> None:
    text = (finished / "model" / card.FILE).read_text()
    snippet = text.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(snippet.replace('"FOLDER"', repr(str(finished / "model"))), names)
    assert type(names["model"]).__name__ == "BertForMaskedLM"
    assert names["tokenizer"].mask_token == "[MASK]"


@pytest.mark.parametrize(
    ("family", "objective", "kind"),
    [
        ("bert", "mlm+nsp", "BertForPreTraining"),
        ("groupbert", "mlm", "GroupBertForMaskedLM"),
        ("gpt2", "clm", "GPT2LMHeadModel"),
    ],
)
def test_row_123_whatever_was_trained_is_loaded_whole(
    finished: Path, tmp_path: Path, family: str, objective: str, kind: str
) -> None:
    run = engines.run_of(family, objective=objective)
    build.for_run(run, engines.VOCABULARY, None).save_pretrained(tmp_path)
    for file in (finished / "tokenizer").iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    names: dict[str, Any] = {}
    exec("\n".join(loading_lines(run, str(tmp_path))), names)
    assert type(names["model"]).__name__ == kind


def test_row_123_the_card_of_pairs_tells_their_results_once(finished: Path) -> None:
    run = small_run.run_of(finished.parent)
    totals = Totals(2.0, 3.0, 1.0, 2.0, pair_loss=1.0, pairs_right=3.0, pairs=4.0)
    prepared = open_prepared(run, finished, {})
    folder = finished.parent / "card"
    folder.mkdir(exist_ok=True)
    card.write(folder, run, prepared, totals, {}, parameters=1)
    text = (folder / card.FILE).read_text()
    assert text.count("of pairs of sentences | 0.7500 |") == 1
    assert text.count("| 0.2500 |") == 1


HOSTILE = (
    "a`b``c|d",
    '"]\n---\nevil: true\n---\n# <script>alert(1)</script>',
    "`[x](javascript:alert(1))` ![](http://x/y)",
    "\u2028{{7*7}} \x07\x7f\x85\ufffe \U0001f600",
    "```\n# not a heading\n```",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_row_123_a_text_of_the_user_is_never_markup(text: str) -> None:
    shown = card.code(text)
    assert "\n" not in shown
    fence = re.match("`+", shown)
    assert fence is not None
    inner = shown[len(fence[0]) : -len(fence[0])]
    assert shown.endswith(fence[0])
    assert fence[0] not in re.findall("`+", inner)
    assert not re.search(r"(?<!\\)\|", shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_row_123_a_text_of_the_user_is_never_yaml(finished: Path, text: str) -> None:
    plain = small_run.run_of(finished.parent)
    run = dataclasses.replace(plain, data=dataclasses.replace(plain.data, train=(text,)))
    prepared = open_prepared(plain, finished, {})
    totals = Totals(loss=30.0, baseline=50.0, correct=4.0, predictions=10.0)
    (finished.parent / "card").mkdir(exist_ok=True)
    card.write(finished.parent / "card", run, prepared, totals, {}, parameters=1)
    written = (finished.parent / "card" / card.FILE).read_text()
    _, front, body = written.split("---\n", 2)
    found = yaml.safe_load(front)
    assert set(found) == {"library_name", "pipeline_tag", "tags", "model-index"}
    assert found["model-index"][0]["results"][0]["dataset"]["name"] == text
    assert [line for line in body.splitlines() if line.startswith("# ")] == ["# bert, mlm"]


def test_the_folder_of_the_model_still_loads_with_its_card(finished: Path) -> None:
    assert AutoTokenizer.from_pretrained(finished / "model").mask_token == "[MASK]"
