"""Tokenizers from before tokenizer.json, but for BERT's vocab.txt, as transformers converts them.

Called by `vocab.folder`.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from lmtrainer.faults import UserError

FILES = (
    *("vocab.json", "merges.txt", "added_tokens.json", "config.json"),
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
)
"""What is read, as far as it is there."""


def files_in(folder: Path) -> tuple[Path, ...]:
    """Those that lie in a folder; none if they are of no tokenizer."""
    found = tuple(path for path in (folder / name for name in FILES) if path.is_file())
    return () if {path.name for path in found} <= {"added_tokens.json", "config.json"} else found


def read(folder: Path) -> Tokenizer:
    """The tokenizer of such files. UserError if they cannot be converted."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return Tokenizer.from_str(found.backend_tokenizer.to_str())
    except Exception as fault:  # transformers raises whatever the files bring about
        reason = str(fault).partition("\n")[0]
        raise UserError(
            f"tokenizer: {folder} cannot be converted ({reason}); "
            "save it there with AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        ) from None
