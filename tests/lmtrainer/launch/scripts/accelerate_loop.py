"""A loop as people write it for Accelerate; it knows nothing of jobs."""

import sys

import torch
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == 2, accelerator.num_processes
torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
rows = torch.utils.data.TensorDataset(torch.randn(16, 4), torch.randn(16, 1))
loader = torch.utils.data.DataLoader(rows, batch_size=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for inputs, targets in loader:
    loss = torch.nn.functional.mse_loss(model(inputs), targets)
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
assert accelerator.gather(loss.detach().reshape(1)).shape == (2,)
accelerator.wait_for_everyone()
accelerator.save_model(model, sys.argv[1])
accelerator.end_training()
