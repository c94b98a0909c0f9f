"""The trainer: what runs in every pod of a job, and in every local node process.

Layers, lowest first; a room imports only from rooms above it in this list:

    contract  config        standard library only; all that `lmjob` may import
    text  vocab             files -> documents -> token ids
    dataset                 the memory-mapped store, sample order, masks, packed batches
    models  optim           what is trained, and how a step moves it
    checkpoint              atomic, verified checkpoints
    output                  the run's folder: identity, lock, attempt fence
    parallel                ranks: rendezvous, fence, gradient exchange
    train  evaluate         the stages `train` and `evaluate`; `prepare` is the first one
    launch                  process 1 of a node: signals, readiness, progress, exit types
    transfer                the far end of `lmjob cp`
    cli                     argv -> one of the above
"""

__version__ = "0.1.0"
