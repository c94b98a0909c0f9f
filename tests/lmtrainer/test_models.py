"""Models on packed rows give what the plain models of transformers give, one sequence at a time."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from lmtrainer.config.architecture import (
    PRESETS,
    Architecture,
)
from lmtrainer.dataset.batches import Batch
from lmtrainer.faults import UserError
from lmtrainer.models import build
from lmtrainer.models.objective import Objective, target_logits, to_device

CPU = torch.device("cpu")
SIZES = Architecture(
    layers=2,
    hidden_size=32,
    heads=2,
    intermediate_size=64,
    max_positions=16,
    dropout=0.0,
    attention_dropout=0.0,
)


class Words:
    """The vocabulary facts that a model needs."""

    size = 50
    pad = 0
    bos = 1
    eos = 1
    cls = 2
    sep = 3


def row(lengths, kind, seed=0):
    generator = np.random.default_rng(seed)
    total = sum(lengths)
    tokens = generator.integers(5, 50, total)
    positions = np.concatenate([np.arange(n) for n in lengths])
    ends = set(np.cumsum(lengths) - 1)
    if kind == "gpt2":
        targets = np.array([i for i in range(total) if i not in ends])
        labels = tokens[targets + 1]
    else:
        targets = np.arange(0, total, 3)
        labels = generator.integers(5, 50, len(targets))
    return Batch(
        tokens=tokens, positions=positions, lengths=tuple(lengths), targets=targets, labels=labels
    )


@pytest.mark.parametrize("kind", ["bert", "roberta", "groupbert", "gpt2"])
@pytest.mark.parametrize("lengths", [(5, 9, 2, 7), (6, 6, 6)], ids=["mixed", "equal"])
def test_a_packed_row_scores_as_each_sequence_alone(kind, lengths, tmp_path):
    model = build.build(kind, SIZES, Words, seed=3).eval()
    model.save_pretrained(tmp_path)
    auto = AutoModelForCausalLM if kind == "gpt2" else AutoModelForMaskedLM
    plain = auto.from_pretrained(tmp_path).eval()
    batch = row(lengths, kind)
    with torch.inference_mode():
        packed = target_logits(model, to_device(batch, CPU))
        alone = torch.cat(
            [plain(t[None]).logits[0] for t in torch.from_numpy(batch.tokens).split(list(lengths))]
        )
    torch.testing.assert_close(packed, alone[batch.targets], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_the_loss_is_the_sum_over_the_targets_only(kind, tmp_path):
    model = build.build(kind, SIZES, Words, seed=3).eval()
    batch = row((5, 9), kind)
    loss = Objective(model)(to_device(batch, CPU)).total
    logits = target_logits(model, to_device(batch, CPU)).double()
    rows = torch.arange(len(batch.labels))
    by_hand = -logits.log_softmax(-1)[rows, torch.from_numpy(batch.labels)].sum()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_row_of_several_sequences_gives_the_gradients_of_its_parts():
    model = build.build("bert", SIZES, Words, seed=3)
    objective = Objective(model)
    whole = row((5, 9), "bert")
    objective(to_device(whole, CPU)).total.backward()
    together = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    first = whole.targets < 5
    for part, start, end in ((first, 0, 5), (~first, 5, 14)):
        piece = Batch(
            tokens=whole.tokens[start:end],
            positions=whole.positions[start:end],
            lengths=(end - start,),
            targets=whole.targets[part] - start,
            labels=whole.labels[part],
        )
        objective(to_device(piece, CPU)).total.backward()
    for mine, theirs in zip(together, model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.grad, atol=1e-5, rtol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one = build.build("bert", SIZES, Words, seed=7)
    assert torch.equal(torch.rand(3), expected)
    two = build.build("bert", SIZES, Words, seed=7)
    other = build.build("bert", SIZES, Words, seed=8)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not all(
        torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize(("kind", "preset"), [(k, p) for k in PRESETS for p in PRESETS[k]])
def test_every_preset_reaches_the_model(kind, preset):
    sizes = PRESETS[kind][preset]
    with torch.device("meta"):
        config = build.build(kind, sizes, Words, seed=0).config
    assert config.num_hidden_layers == sizes.layers
    assert config.hidden_size == sizes.hidden_size
    assert config.num_attention_heads == sizes.heads
    unused = Words.pad + 1 if kind == "roberta" else 0
    assert config.max_position_embeddings == sizes.max_positions + unused
    assert config.vocab_size == Words.size


def test_a_folder_of_another_family_or_with_too_few_tokens_is_refused(tmp_path):
    build.build("bert", SIZES, Words, seed=0).save_pretrained(tmp_path)
    build.from_folder("bert", tmp_path, vocabulary_size=50)
    with pytest.raises(UserError, match=r"gpt2, but .* holds a bert"):
        build.from_folder("gpt2", tmp_path)
    with pytest.raises(UserError, match=r"has 51 tokens, the model in .* 50"):
        build.from_folder("bert", tmp_path, vocabulary_size=51)
    with pytest.raises(UserError, match=r"no config\.json"):
        build.from_folder("bert", tmp_path / "nowhere")
