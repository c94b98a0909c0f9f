"""GroupBERT: BERT with grouped feed-forward parts and convolutions (Chelombiev et al., arXiv
2106.05822), as a family of transformers.

`register` makes it known to the Auto classes; again and again does no harm.
"""

from __future__ import annotations

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from lmtrainer.models.groupbert.body import GroupBertModel
from lmtrainer.models.groupbert.configuration import GroupBertConfig
from lmtrainer.models.groupbert.heads import (
    GroupBertForMaskedLM,
    GroupBertForMultipleChoice,
    GroupBertForPreTraining,
    GroupBertForQuestionAnswering,
    GroupBertForSequenceClassification,
    GroupBertForTokenClassification,
)

__all__ = ["GroupBertConfig", "GroupBertForMaskedLM", "GroupBertForPreTraining", "register"]


def register() -> None:
    """Make the family known to AutoConfig and the AutoModels."""
    AutoConfig.register(GroupBertConfig.model_type, GroupBertConfig, exist_ok=True)
    for auto, kind in (
        (AutoModel, GroupBertModel),
        (AutoModelForMaskedLM, GroupBertForMaskedLM),
        (AutoModelForPreTraining, GroupBertForPreTraining),
        (AutoModelForSequenceClassification, GroupBertForSequenceClassification),
        (AutoModelForTokenClassification, GroupBertForTokenClassification),
        (AutoModelForQuestionAnswering, GroupBertForQuestionAnswering),
        (AutoModelForMultipleChoice, GroupBertForMultipleChoice),
    ):
        auto.register(GroupBertConfig, kind, exist_ok=True)
