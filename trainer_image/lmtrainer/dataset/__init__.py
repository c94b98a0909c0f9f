"""The data path: prepared once, then packed rows as functions of step and rank, without state.

    prepare    text -> tokenizer and dataset, or proof that they are there; opens them
    home       where the dataset lies, and who may write there
    inputs     what both are made from, and their name
    build      makes both
    nearby     a copy on the node that trains on it
    reading    which bytes a text has, for the name of what is made of it
    sharding   text -> shards, in parts, by many processes on many nodes
    tasks      what is done with a part
    rounds     tasks shared out among nodes: what is said on their board
    leading    who gives them out
    following  what all other nodes do
    crew       the processes of one
    merging    parts -> one dataset
    encode     documents -> ids
    writing    ids -> shards
    facts      the form of the files
    store      how they are read
    cutting    the ways to cut text into stretches
    tables     those of large texts, on the disk
    samples    which stretch of text is which example
    pairing    which two stretches of text are a pair of sentences
    pairs      tables of those on the disk
    epochs     passes over the text, one after the other
    order      which examples a step has, and which process computes which
    weighting  texts that an epoch has more or less of
    choosing   which tokens are to be predicted
    masking    what stands in their place
    packing    examples as rows: sequences, pairs or ready-made instances
    answers    what is to be predicted of those
    export     pairs as ready-made instances, for other programs
    summary    what it all comes to, for people
    batches    all of that as rows for the model

Called by the stages, the training loop and the evaluation. What may not live here: torch, or any
random generator with a state.
"""

from lmtrainer.dataset.batches import Batch, EvaluationRows, TrainingRows, training_steps
from lmtrainer.dataset.following import Following, follow
from lmtrainer.dataset.leading import ALONE, Kept, Leading, Nodes
from lmtrainer.dataset.prepare import Company, Prepared, open_prepared, prepare

__all__ = [
    "ALONE",
    "Batch",
    "Company",
    "EvaluationRows",
    "Following",
    "Kept",
    "Leading",
    "Nodes",
    "Prepared",
    "TrainingRows",
    "follow",
    "open_prepared",
    "prepare",
    "training_steps",
]
