"""A module as people write it for Lightning; it knows nothing of jobs."""

import sys

import lightning
import torch


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch):
        inputs, targets = batch
        return torch.nn.functional.mse_loss(self.layer(inputs), targets)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


rows = torch.utils.data.TensorDataset(torch.randn(16, 4), torch.randn(16, 1))
trainer = lightning.Trainer(
    accelerator="cpu",
    devices=2,
    max_steps=4,
    default_root_dir=sys.argv[1],
    logger=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Line(), torch.utils.data.DataLoader(rows, batch_size=2))
assert trainer.world_size == 2, trainer.world_size
trainer.save_checkpoint(f"{sys.argv[1]}/line.ckpt")
