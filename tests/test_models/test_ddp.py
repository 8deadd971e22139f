"""Two-process training with DistributedDataParallel on the CPU."""

import copy

import pytest
import torch
import torch.multiprocessing as mp
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.structures import InstanceData
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

import mmdet_frn  # noqa: F401  registers the layers and models, in the spawned processes too

STEPS = 3


def _batch(seed):
    """Two images of 64x64 with a box each."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(2):
        sample = DetDataSample(
            metainfo={'img_shape': (64, 64), 'pad_shape': (64, 64), 'batch_input_shape': (64, 64)}
        )
        x, y = (torch.rand(2, generator=generator) * 20).tolist()
        boxes = torch.tensor([[x, y, x + 36, y + 36]])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([seed % 2]))
        samples.append(sample)
    return torch.randn(2, 3, 64, 64, generator=generator), samples


def _train(rank, cfg, rendezvous, out):
    torch.set_num_threads(1)
    register_all_modules()
    dist.init_process_group('gloo', init_method=f'file://{rendezvous}', rank=rank, world_size=2)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    # find_unused_parameters stays False: a parameter without gradient would raise.
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.01)
    for step in range(STEPS):
        inputs, samples = _batch(2 * step + rank)
        losses = ddp(inputs, samples, mode='loss')
        loss = sum(sum(value) for value in losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    torch.save({'without': without, 'state': model.state_dict()}, f'{out}{rank}.pth')
    dist.destroy_process_group()


@pytest.mark.parametrize('learnable_eps', [False, True])
def test_every_parameter_gets_a_gradient_and_the_processes_agree(
    learnable_eps, tmp_path, tiny_config
):
    cfg = tiny_config()
    if learnable_eps:
        for part in (cfg.model.backbone, cfg.model.neck, cfg.model.bbox_head):
            part.norm_cfg = dict(part.norm_cfg, learnable_eps=True)
    register_all_modules()
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg.model))
    model.init_weights()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    mp.spawn(_train, (cfg, tmp_path / 'rendezvous', str(tmp_path / 'rank')), nprocs=2)
    first, second = (torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2))
    assert first['without'] == second['without'] == []
    for key, value in first['state'].items():
        assert torch.equal(value, second['state'][key]), key
    changed = [name for name, p in before.items() if not torch.equal(p, first['state'][name])]
    assert any(name.endswith('.tau') for name in changed)
    assert any(name.endswith('.eps_l') for name in changed) == learnable_eps
