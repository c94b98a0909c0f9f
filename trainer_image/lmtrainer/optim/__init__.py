"""How a step moves the weights: parameter groups, the optimizer, its state, the learning rate.

What may live here: one file an algorithm or a rule of the step. What may not: models, data, files.
"""
