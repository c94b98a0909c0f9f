"""The training loop: one step, one phase, what is told about it, and what it leaves behind."""
