"""What is trained: transformers' models, their attention over packed rows, and the loss on them.

What may live here: one file a concern of a model. What may not: optimizers, data, files of a run.
"""
