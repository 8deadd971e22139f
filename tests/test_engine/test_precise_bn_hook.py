"""Precise BN against plain means in fp64, and from a config, with frozen layers and checkpoints."""

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmdet_frn.engine import PreciseBNHook
from mmdet_frn.engine.precise_bn_hook import update_statistics
from mmdet_frn.layers import GhostBN
from mmdet_frn.utils.errors import UsageError


class TwoNorms(BaseModel):
    """Two norms on the images; the second can be frozen, as MMDetection's norm_eval does."""

    def __init__(self, frozen=False, norm=nn.BatchNorm2d):
        super().__init__()
        self.first, self.second, self.frozen = norm(3), norm(3), frozen

    def train(self, mode=True):
        super().train(mode)
        if self.frozen:
            self.second.eval()
        return self

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = torch.stack(inputs) if isinstance(inputs, list) else inputs
        return {'loss': self.second(self.first(x)).square().sum()}


class Groups(nn.GroupNorm):
    def __init__(self, channels):
        super().__init__(channels, channels)


def batches(n=4):
    torch.manual_seed(0)
    return [{'inputs': 3 * torch.randn(2, 3, 4, 5).double() + 1} for _ in range(n)]


def means(data):
    """Mean over batches of the batch's mean and of its unbiased variance."""
    values = [batch['inputs'].numpy().astype(float) for batch in data]
    axes = (0, 2, 3)
    mean, var = zip(*((v.mean(axes), v.var(axes, ddof=1)) for v in values), strict=True)
    return np.mean(mean, 0), np.mean(var, 0)


@pytest.mark.parametrize('training', [True, False])
def test_statistics_are_plain_means_over_the_batches(training):
    model = TwoNorms().double().train(training)
    nn.init.constant_(model.first.running_mean, 7)
    data = batches()
    assert update_statistics(model, iter(data)) == [model.first, model.second]
    mean, var = means(data)
    torch.testing.assert_close(model.first.running_mean, torch.from_numpy(mean))
    torch.testing.assert_close(model.first.running_var, torch.from_numpy(var))
    assert model.first.momentum == 0.1
    assert model.training is training
    assert all(p.grad is None for p in model.parameters())


def test_a_frozen_layer_keeps_its_statistics():
    model = TwoNorms(frozen=True).double()
    nn.init.constant_(model.second.running_mean, 7)
    assert update_statistics(model, iter(batches())) == [model.first]
    assert model.second.running_mean.tolist() == [7] * 3
    assert not model.second.training


def test_ghost_bn_counts_virtual_batches():
    model = TwoNorms(norm=GhostBN).double()
    data = batches(2)
    whole = [{'inputs': torch.cat([batch['inputs'] for batch in data])}]
    update_statistics(model, iter(whole))
    torch.testing.assert_close(model.first.running_mean, torch.from_numpy(means(data)[0]))


def runner(tmp_path, **model):
    images = [{'inputs': 2 * torch.randn(3, 4, 5) + i} for i in range(6)]
    return Runner(
        TwoNorms(**model),
        str(tmp_path),
        train_dataloader={
            'batch_size': 2,
            'num_workers': 0,
            'dataset': images,
            # MMEngine pauses at the end of an epoch.
            'sampler': {'type': 'InfiniteSampler', 'shuffle': False},
            'collate_fn': {'type': 'default_collate'},
        },
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': 4},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.0}},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 2}},
        custom_hooks=[{'type': 'PreciseBNHook', 'num_iters': 3}],
        experiment_name=tmp_path.name,
    )


def test_a_config_switches_it_on_and_the_last_checkpoint_has_the_result(tmp_path):
    run = runner(tmp_path)
    run.train()
    data = [run.train_dataloader.dataset[i : i + 2] for i in (0, 2, 4)]
    data = [{'inputs': torch.stack([d['inputs'] for d in pair])} for pair in data]
    mean, var = (torch.from_numpy(m).float() for m in means(data))
    for name, close in (('iter_2.pth', False), ('iter_4.pth', True)):
        state = torch.load(tmp_path / name, weights_only=False)['state_dict']
        assert torch.allclose(state['first.running_mean'], mean, rtol=1e-4) == close
        assert torch.allclose(state['first.running_var'], var, rtol=1e-4) == close


def test_a_model_without_a_trained_bn_is_an_error(tmp_path):
    with pytest.raises(UsageError, match='finds no BN layer in training mode; leave it out'):
        runner(tmp_path, norm=Groups).train()
    with pytest.raises(ValueError, match='num_iters must be >= 1, got 0'):
        PreciseBNHook(num_iters=0)
