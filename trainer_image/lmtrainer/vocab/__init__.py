"""Tokenizers: trained or taken over, kept in a folder that AutoTokenizer loads, fast to apply.

The one room that imports the tokenizers library. Nothing here runs code from a folder.
"""

from lmtrainer.vocab.folder import adopt, adopted_files, cutter, save
from lmtrainer.vocab.training import make, train
from lmtrainer.vocab.vocabulary import Vocabulary, load

__all__ = ["Vocabulary", "adopt", "adopted_files", "cutter", "load", "make", "save", "train"]
