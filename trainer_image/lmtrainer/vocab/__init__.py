"""Tokenizers: trained or taken over, kept in a folder that AutoTokenizer loads, fast to apply.

The one room that imports the tokenizers library. Nothing here runs code from a folder.
"""

from lmtrainer.vocab.folder import ADOPTED_FILES, adopt, save
from lmtrainer.vocab.training import make, train
from lmtrainer.vocab.vocabulary import Vocabulary, load

__all__ = ["ADOPTED_FILES", "Vocabulary", "adopt", "load", "make", "save", "train"]
