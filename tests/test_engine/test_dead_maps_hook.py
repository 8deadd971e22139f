"""DeadMapsHook against maps, thresholds and gradients that are known."""

import json

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmdet_frn.engine import DeadMapsHook

# 8 of 16 channels are shut; the beta of the others lifts every map above its threshold.
SHUT, CHANNELS = 8, 16
PAIRS = [('FRN', 'TLU'), ('FRN', 'ReLU'), ('GN', 'TLU'), ('GN', 'ReLU'), ('BN', 'ReLU')]


class Net(BaseModel):
    def __init__(self, norm, act):
        super().__init__()
        norm_cfg = {'type': norm, **({'num_groups': 4} if norm == 'GN' else {})}
        self.neck = ConvModule(3, CHANNELS, 1, norm_cfg=norm_cfg, act_cfg={'type': act})
        threshold = -3.0 if act == 'TLU' else 0.0
        norm = self.neck.norm
        nn.init.constant_(norm.weight, 0.01)
        nn.init.constant_(norm.bias[:SHUT], threshold - 1)
        nn.init.constant_(norm.bias[SHUT:], threshold + 1)
        if act == 'TLU':
            nn.init.constant_(self.neck.activate.tau, threshold)
        self.head = nn.Sequential(nn.Conv2d(CHANNELS, 2, 1), nn.ReLU())
        nn.init.constant_(self.head[0].bias, 1e4)

    def init_weights(self):
        """Keep the values above, which ConvModule would replace."""

    def forward(self, inputs, mode='loss'):
        return {'loss': self.head(self.neck(torch.stack(inputs))).square().mean()}


def train(model, tmp_path, steps=3, interval=2):
    torch.manual_seed(0)
    images = [{'inputs': torch.randn(3, 4, 4)} for _ in range(2 * steps)]
    runner = Runner(
        model,
        str(tmp_path),
        train_dataloader={
            'dataset': images,
            'batch_size': 2,
            'num_workers': 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'pseudo_collate'},
        },
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': steps},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.0}},
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}},
        custom_hooks=[{'type': 'DeadMapsHook', 'interval': interval}],
        experiment_name=tmp_path.name,
    )
    runner.train()
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize(('norm', 'act'), PAIRS)
def test_the_share_of_shut_maps_is_logged_for_any_pair(norm, act, tmp_path):
    model = Net(norm, act)
    lines = train(model, tmp_path)
    detail = [line for line in lines if any(key.startswith('dead/') for key in line)]
    assert [line['step'] for line in detail] == [1, 3]
    layer = 'neck.' + (model.neck.norm_name if (norm, act) == ('FRN', 'TLU') else 'activate')
    for line in detail:
        assert line[f'dead/{layer}'] == SHUT / CHANNELS
        assert line['dead/head.1'] == 0
    # In the lines of the log, from the iteration that measured it on.
    logged = [line for line in lines if 'loss' in line]
    assert [line['dead_neck'] for line in logged] == [SHUT / CHANNELS] * 3
    assert [line['dead_head'] for line in logged] == [0] * 3


def test_gradient_norms_and_mean_over_deviation_are_autograds_and_torchs(tmp_path):
    model = Net('FRN', 'TLU')
    lines = train(model, tmp_path, steps=1)
    (line,) = [line for line in lines if 'dead/head.1' in line]
    torch.manual_seed(0)
    images = [torch.randn(3, 4, 4) for _ in range(2)]
    model.zero_grad()
    out = model.neck(torch.stack(images))
    model.head(out).square().mean().backward()
    norm, act = model.neck.norm, model.neck.activate
    names = {'neck.frn.weight': norm.weight, 'neck.frn.bias': norm.bias}
    for name, param in {**names, 'neck.activate.tau': act.tau}.items():
        assert line[f'grad_norm/{name}'] == pytest.approx(param.grad.norm().item(), rel=1e-4)
        assert param.grad.norm() > 0
    ratio = (out.mean() / out.std()).item()
    assert line['mean_over_std/neck.frn'] == pytest.approx(ratio, rel=1e-4)


def test_nothing_stays_attached(tmp_path):
    model = Net('FRN', 'TLU')
    train(model, tmp_path, steps=1)
    assert not any(m._forward_hooks for m in model.modules())
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_interval_must_be_positive():
    with pytest.raises(ValueError, match='interval must be >= 1, got 0'):
        DeadMapsHook(interval=0)
