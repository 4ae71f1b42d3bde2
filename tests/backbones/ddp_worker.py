"""Two training steps of every family under DDP, for every choice of outputs; run by torchrun, see test_ddp.py."""

import sys
from pathlib import Path

import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path(__file__).parents[2]))
from mlp_backbones.backbones import FAMILIES
from tests.backbones.slim import OUT_INDICES, loss_of, slim

torch.set_num_threads(1)
dist.init_process_group('gloo')
for family in FAMILIES:
    for out_indices in OUT_INDICES:
        torch.manual_seed(0)
        net = DistributedDataParallel(slim(family, out_indices=out_indices, drop_path_rate=0.2).train())
        for step in range(2):  # DDP finds an unused parameter at the second step
            torch.manual_seed(10 * step + dist.get_rank())
            net.zero_grad()
            loss_of(net(torch.randn(2, 3, 64, 64))).backward()
        total = torch.stack([p.grad.double().sum() for p in net.parameters()]).sum()
        sums = [torch.zeros_like(total) for _ in range(2)]
        dist.all_gather(sums, total)
        assert torch.equal(*sums), f'{family} {out_indices}: gradients differ between processes'
    if dist.get_rank() == 0:
        print(f'{family}: {len(OUT_INDICES)} choices trained')
# A process was once aborted at its end, it seems by a thread of gloo that outlived the group.
del net
dist.barrier()
dist.destroy_process_group()
