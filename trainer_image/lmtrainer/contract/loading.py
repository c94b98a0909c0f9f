"""How a saved model is loaded in a program: for the model's card, and for whoever ran the job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from lmtrainer.config import RunConfig
from lmtrainer.config.model import OBJECTIVES, Objective

LOADERS: Mapping[Objective, str] = MappingProxyType(
    {
        "mlm": "AutoModelForMaskedLM",
        "mlm+nsp": "AutoModelForPreTraining",
        "clm": "AutoModelForCausalLM",
    }
)
"""Class that loads all that a model has learned."""


def loading_lines(run: RunConfig, folder: str) -> Iterator[str]:
    """Python that loads the model of a run, and its tokenizer, from `folder`."""
    assert run.model.type is not None
    loader = LOADERS["mlm+nsp" if run.has_pairs else OBJECTIVES[run.model.type]]
    yield f"from transformers import {loader}, AutoTokenizer"
    if run.model.type == "groupbert":
        yield "from lmtrainer.models import groupbert"
        yield "groupbert.register()"
    yield f'model = {loader}.from_pretrained("{folder}")'
    yield f'tokenizer = AutoTokenizer.from_pretrained("{folder}")'
