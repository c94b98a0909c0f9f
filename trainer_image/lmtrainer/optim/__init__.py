"""How a step moves the weights: parameter groups, the optimizer, the learning rate."""
