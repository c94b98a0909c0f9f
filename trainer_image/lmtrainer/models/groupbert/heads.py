"""GroupBERT with a task: BERT's own heads over its body."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import (
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.models.bert.modeling_bert import (
    BertForPreTrainingOutput,
    BertOnlyMLMHead,
    BertPreTrainingHeads,
)

from lmtrainer.models.groupbert.body import GroupBertModel, GroupBertPreTrainedModel
from lmtrainer.models.groupbert.configuration import GroupBertConfig

_TIED = {
    "cls.predictions.decoder.weight": "groupbert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


class _WithWords(GroupBertPreTrainedModel):
    """Heads that score every token of the vocabulary."""

    _tied_weights_keys = _TIED
    cls: Any

    def get_output_embeddings(self) -> nn.Module:
        return self.cls.predictions.decoder  # type: ignore[no-any-return]

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias


class GroupBertForMaskedLM(_WithWords):
    def __init__(self, config: GroupBertConfig) -> None:
        super().__init__(config)
        self.groupbert = GroupBertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)
        self.post_init()

    def forward(
        self, input_ids: Tensor, labels: Tensor | None = None, **inputs: Any
    ) -> MaskedLMOutput:
        logits = self.cls(self.groupbert(input_ids, **inputs).last_hidden_state)
        return MaskedLMOutput(loss=_loss(logits, labels), logits=logits)


class GroupBertForPreTraining(_WithWords):
    def __init__(self, config: GroupBertConfig) -> None:
        super().__init__(config)
        self.groupbert = GroupBertModel(config)
        self.cls = BertPreTrainingHeads(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        **inputs: Any,
    ) -> BertForPreTrainingOutput:
        found = self.groupbert(input_ids, **inputs)
        words, follows = self.cls(found.last_hidden_state, found.pooler_output)
        loss = None
        if labels is not None and next_sentence_label is not None:
            loss = F.cross_entropy(words.flatten(0, 1), labels.flatten())
            loss = loss + F.cross_entropy(follows, next_sentence_label.flatten())
        return BertForPreTrainingOutput(
            loss=loss, prediction_logits=words, seq_relationship_logits=follows
        )


class _OnPooled(GroupBertPreTrainedModel):
    """Heads on the first token."""

    outputs: int | None = None

    def __init__(self, config: GroupBertConfig) -> None:
        super().__init__(config)
        self.groupbert = GroupBertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, self.outputs or config.num_labels)
        self.post_init()

    def scores(self, input_ids: Tensor, **inputs: Any) -> Tensor:
        pooled = self.groupbert(input_ids, **inputs).pooler_output
        return self.classifier(self.dropout(pooled))  # type: ignore[no-any-return]


class GroupBertForSequenceClassification(_OnPooled):
    def forward(
        self, input_ids: Tensor, labels: Tensor | None = None, **inputs: Any
    ) -> SequenceClassifierOutput:
        logits = self.scores(input_ids, **inputs)
        loss: Tensor | None
        if labels is not None and self.config.num_labels == 1:
            loss = F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
        else:
            loss = _loss(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class GroupBertForMultipleChoice(_OnPooled):
    outputs = 1

    def forward(
        self, input_ids: Tensor, labels: Tensor | None = None, **inputs: Any
    ) -> MultipleChoiceModelOutput:
        """Inputs are [batch, choices, tokens]."""
        choices = input_ids.shape[1]
        flat = {k: v.flatten(0, 1) if isinstance(v, Tensor) else v for k, v in inputs.items()}
        logits = self.scores(input_ids.flatten(0, 1), **flat).view(-1, choices)
        return MultipleChoiceModelOutput(loss=_loss(logits, labels), logits=logits)


class _OnTokens(GroupBertPreTrainedModel):
    """Heads on every token."""

    def __init__(self, config: GroupBertConfig) -> None:
        super().__init__(config)
        self.groupbert = GroupBertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def scores(self, input_ids: Tensor, **inputs: Any) -> Tensor:
        hidden = self.groupbert(input_ids, **inputs).last_hidden_state
        return self.classifier(self.dropout(hidden))  # type: ignore[no-any-return]


class GroupBertForTokenClassification(_OnTokens):
    def forward(
        self, input_ids: Tensor, labels: Tensor | None = None, **inputs: Any
    ) -> TokenClassifierOutput:
        logits = self.scores(input_ids, **inputs)
        return TokenClassifierOutput(loss=_loss(logits, labels), logits=logits)


class GroupBertForQuestionAnswering(_OnTokens):
    def forward(
        self,
        input_ids: Tensor,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **inputs: Any,
    ) -> QuestionAnsweringModelOutput:
        start, end = self.scores(input_ids, **inputs).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = F.cross_entropy(start, start_positions) / 2
            loss = loss + F.cross_entropy(end, end_positions) / 2
        return QuestionAnsweringModelOutput(loss=loss, start_logits=start, end_logits=end)


def _loss(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """Mean cross-entropy of the labels that are not -100."""
    if labels is None:
        return None
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())
