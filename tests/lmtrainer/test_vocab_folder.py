"""A tokenizer's folder: AutoTokenizer loads it and reads text as the trainer does."""

import json

import pytest
from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer

from lmtrainer.config.tokenizer import TokenizerTraining
from lmtrainer.durable import DamagedError, verify_manifest
from lmtrainer.faults import UserError
from lmtrainer.text.sources import expand
from lmtrainer.vocab import adopt, load, save, train

TEXTS = [
    "A Hacker is NOT a cracker, ça va? [MASK] x[SEP]y",
    "a\x1cb\x85c\u00a0d 中文字 e\u0301f \u200b !?\n\n  <|endoftext|>z",
    "ẞ İstanbul ΑΣ don't  \t stop",
]
MARK = "f" * 64


def build(folder, kind, **more):
    (path,) = expand(["sample://jargon"], {})
    documents = path.read_text("utf-8").split("\n\n")[:200]
    settings = TokenizerTraining(
        type=kind,
        vocab_size=900,
        special_tokens="gpt2" if kind == "bytebpe" else "bert",
        **more,
    )
    tokenizer = train(settings, lambda activity: iter(documents))
    save(tokenizer, settings, folder, max_length=512, fingerprint=MARK)
    return folder


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        ("wordpiece", {"lowercase": True}, "BertTokenizer"),
        ("wordpiece", {"lowercase": False}, "BertTokenizer"),
        ("bytebpe", {}, "GPT2Tokenizer"),
    ],
)
def test_auto_tokenizer_reads_text_as_the_trainer_does(tmp_path, kind, options, name):
    folder = build(tmp_path / "tokenizer", kind, **options)
    auto = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ours = load(folder)
    assert type(auto).__name__ == name
    assert auto.model_max_length == 512
    assert len(auto) == ours.size == 900
    for text, ids in zip(TEXTS, ours.encode(TEXTS), strict=True):
        assert auto(text, add_special_tokens=False)["input_ids"] == ids.tolist()


def test_bert_roles_have_their_usual_ids_everywhere(tmp_path):
    folder = build(tmp_path / "tokenizer", "wordpiece", lowercase=True)
    ours, auto = load(folder), AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for role, number in {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}.items():
        assert getattr(ours, role) == getattr(auto, f"{role}_token_id") == number
    assert ours.eos is None
    assert ours.special_ids.tolist() == [0, 1, 2, 3, 4]
    assert ours.regular_ids.tolist() == list(range(5, 900))
    assert auto.do_lower_case is True
    assert auto("word")["input_ids"][0] == 2
    assert sorted(auto("word")) == ["attention_mask", "input_ids", "token_type_ids"]


def test_gpt2_has_one_special_token(tmp_path):
    folder = build(tmp_path / "tokenizer", "bytebpe")
    ours, auto = load(folder), AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert ours.special_ids.tolist() == [ours.eos]
    assert ours.eos == auto.eos_token_id == auto.bos_token_id
    assert auto.eos_token == "<|endoftext|>"
    assert (ours.mask, ours.cls, ours.pad) == (None, None, None)
    assert not (folder / "vocab.txt").exists()


def test_vocab_txt_lists_the_tokens_by_id(tmp_path):
    folder = build(tmp_path / "tokenizer", "wordpiece")
    lines = (folder / "vocab.txt").read_text("utf-8").split("\n")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert lines == [tokenizer.id_to_token(number) for number in range(900)] + [""]


def test_the_manifest_covers_every_file_and_names_the_fingerprint(tmp_path):
    folder = build(tmp_path / "tokenizer", "wordpiece")
    manifest = verify_manifest(folder)
    assert manifest.facts["fingerprint"] == MARK
    assert set(manifest.files) == {"tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    (folder / "vocab.txt").write_text("changed")
    with pytest.raises(DamagedError, match=r"vocab.txt"):
        verify_manifest(folder)


def test_a_tokenizer_from_elsewhere_is_taken_over_without_its_code(tmp_path):
    source = build(tmp_path / "source", "wordpiece")
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(source / "tokenizer.json"))
    config = json.loads((source / "tokenizer_config.json").read_text())
    config["model_max_length"] = 10**30
    config["auto_map"] = {"AutoTokenizer": ["evil.Tokenizer", None]}
    config["mask_token"] = {"content": "[MASK]", "lstrip": True}
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    (source / "evil.py").write_text("raise SystemExit")
    adopt(source, tmp_path / "ours", max_length=256, fingerprint=MARK)
    ours = load(tmp_path / "ours")
    auto = AutoTokenizer.from_pretrained(tmp_path / "ours", local_files_only=True)
    assert auto.model_max_length == 256
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == [
        "manifest.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    assert "evil" not in (tmp_path / "ours" / "tokenizer_config.json").read_text()
    assert ours.mask == auto.mask_token_id == 4
    text = "a hacker likes antidisestablishmentarianism"
    (ids,) = ours.encode([text])
    assert len(ids) > 9 and 0 not in ids
    assert auto(text)["input_ids"][1:-1] == ids.tolist()


def test_a_folder_without_a_config_gets_the_usual_roles(tmp_path):
    source = build(tmp_path / "source", "wordpiece")
    (source / "tokenizer_config.json").unlink()
    assert load(source).mask == 4
    adopt(source, tmp_path / "ours", max_length=128, fingerprint=MARK)
    auto = AutoTokenizer.from_pretrained(tmp_path / "ours", local_files_only=True)
    assert (auto.cls_token_id, auto.sep_token_id, auto.mask_token_id) == (2, 3, 4)


def test_roles_follow_the_folder_not_the_name(tmp_path):
    source = build(tmp_path / "source", "bytebpe")
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.add_special_tokens(["<s>", "</s>", "<mask>"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 901), ("<s>", 900))
    tokenizer.save(str(source / "tokenizer.json"))
    (source / "tokenizer_config.json").write_text("{}")
    roles = {"cls_token": "<s>", "sep_token": "</s>", "mask_token": {"content": "<mask>"}}
    (source / "special_tokens_map.json").write_text(json.dumps(roles))
    ours = load(source)
    assert (ours.cls, ours.sep, ours.mask, ours.size) == (900, 901, 902, 903)
    assert set(ours.special_ids.tolist()) == {ours.eos, 900, 901, 902}


def test_an_objective_asks_for_its_special_tokens(tmp_path):
    wordpiece = load(build(tmp_path / "a", "wordpiece"))
    bytebpe = load(build(tmp_path / "b", "bytebpe"))
    wordpiece.require("mlm")
    bytebpe.require("clm")
    with pytest.raises(UserError, match="tokenizer: has no eos token, which clm needs"):
        wordpiece.require("clm")
    with pytest.raises(UserError, match="has no cls, sep, mask token, which mlm needs"):
        bytebpe.require("mlm")


def test_a_folder_that_holds_no_tokenizer_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(UserError, match=r"has no tokenizer.json; save it there with"):
        load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(UserError, match=r"tokenizer.json cannot be read"):
        adopt(tmp_path, tmp_path / "ours", max_length=9, fingerprint=MARK)
    assert not (tmp_path / "ours").exists()


def test_berts_vocab_txt_alone_is_a_tokenizer(tmp_path):
    made = build(tmp_path / "made", "wordpiece", lowercase=True)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "vocab.txt").write_bytes((made / "vocab.txt").read_bytes())
    adopt(alone, tmp_path / "adopted", max_length=64, fingerprint=MARK)
    auto = AutoTokenizer.from_pretrained(tmp_path / "adopted", local_files_only=True)
    ours, theirs = load(tmp_path / "adopted"), load(made)
    for text, ids in zip(TEXTS, theirs.encode(TEXTS), strict=True):
        assert ours.encode([text])[0].tolist() == ids.tolist()
        assert auto(text, add_special_tokens=False)["input_ids"] == ids.tolist()
    (alone / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    cased = load(alone)
    assert cased.encode(["A"])[0].tolist() == [cased.unk]
    (alone / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    with pytest.raises(UserError, match=r"has no \[CLS\], \[SEP\], \[MASK\]"):
        load(alone)
