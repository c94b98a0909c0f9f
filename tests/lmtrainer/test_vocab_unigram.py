"""Unigram tokenizers: SentencePiece's ids even where scores are equal, and flat memory."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import sentencepiece

from lmtrainer.config.tokenizer import TokenizerTraining, UnigramTraining
from lmtrainer.faults import UserError
from lmtrainer.vocab import unigram


def settings(size: int = 300, **fields: object) -> TokenizerTraining:
    return TokenizerTraining(
        type="unigram",
        vocab_size=size,
        special_tokens="sentencepiece",
        unigram=UnigramTraining(**fields),  # type: ignore[arg-type]
    )


def words(seed: int, number: int, longest: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("ab", k=draw.randint(1, longest))) for _ in range(number)]


def test_equal_sums_of_scores_are_equal_in_32_bits_as_well() -> None:
    wanted = settings(900, normalization="none")
    model = unigram.train_model(wanted, lambda activity: iter(words(0, 3000, 12)))
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    ours = unigram.converted(model, wanted)
    for seed in range(300):
        text = "".join(words(seed, 300, 20))
        assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text), seed


def test_of_many_lines_the_same_few_are_kept() -> None:
    seen: list[int] = []

    def texts(activity: str) -> Iterator[str]:
        for number in range(5000):
            seen.append(number)
            yield f"{number}\n\n \nx{number}"

    wanted = UnigramTraining(sentences=100)
    kept = [list(unigram._sample(wanted, texts)) for _ in range(2)]
    assert kept[0] == kept[1]
    numbers = [int(line.removeprefix("x")) for line in kept[0]]
    assert len(numbers) == 100 and numbers == sorted(numbers)
    assert numbers[0] < 500 and numbers[-1] > 4500 and len(seen) == 10_000
    assert [line for line in kept[0] if line.startswith("x")]


def test_a_long_line_is_trained_on_to_its_end() -> None:
    line = "ab " * 2000 + "cd " * 2000
    model = unigram.train_model(settings(300), lambda activity: iter([line]))
    tokens = unigram.converted(model, settings(300)).get_vocab()
    assert {"▁cd", "▁ab"} <= set(tokens)


def test_more_characters_than_tokens_is_an_error_of_the_user() -> None:
    text = " ".join(chr(0x4E00 + number) for number in range(1000))
    with pytest.raises(UserError, match=r"vocabSize: .* 300 tokens .*raise it, or lower"):
        unigram.train_model(settings(300, character_coverage=1.0), lambda activity: iter([text]))


def test_a_text_without_words_is_an_error_of_the_user() -> None:
    with pytest.raises(UserError, match="vocabSize"):
        unigram.train_model(settings(), lambda activity: iter([""]))
