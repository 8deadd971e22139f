"""What every norm and activation of the table must do, and the toy norm of docs/contributing.md."""

import copy
import re
import sys
import types
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from helpers import weight_decays
from mmcv.cnn import build_norm_layer
from mmengine.model import constant_init
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmdet_frn.layers import build_act, contains_act, norm_act
from mmdet_frn.norms import ACTS, NORMS, find_norm

CHANNELS = 64
GUIDE = Path(__file__).resolve().parents[2] / 'docs' / 'contributing.md'


def toy_norm():
    """Run the guide's example as a module, and take the row that it adds out of the table again."""
    (code,) = re.findall(r'```python\n(.*?)```', GUIDE.read_text(encoding='utf-8'), re.DOTALL)
    module = sys.modules['contributing_example'] = types.ModuleType('contributing_example')
    exec(compile(code, str(GUIDE), 'exec'), module.__dict__)
    return NORMS.pop()


TOY = toy_norm()
ROWS = [*NORMS, TOY]


@pytest.fixture(params=ROWS, ids=lambda row: row.label)
def row(request, monkeypatch):
    if request.param is TOY:
        monkeypatch.setattr('mmdet_frn.norms.lookup.NORMS', [*NORMS, TOY])
    return request.param


class Pair(nn.Module):
    """A row's norm with its activation, after a sum or not."""

    def __init__(self, norm_cfg, act_cfg, residual=False):
        super().__init__()
        self.norm = build_norm_layer(norm_cfg, CHANNELS)[1]
        self.act = build_act(act_cfg, CHANNELS, self.norm, residual=residual)

    def forward(self, x, residual=None):
        return norm_act(x, self.norm, self.act, residual)


def pair(row, residual=False, seed=0):
    """The pair with random parameters near their start."""
    torch.manual_seed(seed)
    module = Pair(row.norm_cfg, row.act_cfg, residual)
    for p in module.parameters():
        nn.init.normal_(p, mean=p.detach().mean().item(), std=0.2)
    return module


def sample(*shape, dtype=torch.float32, scale=2.0):
    torch.manual_seed(1)
    return (scale * torch.randn(shape) + 0.5).to(dtype)


def test_the_builder_builds_the_class_that_the_row_names(row):
    norm = build_norm_layer(row.norm_cfg, CHANNELS)[1]
    assert type(norm) is row.layer
    assert find_norm(row.norm_cfg) is row


@pytest.mark.parametrize('residual', [False, True])
def test_gradients_are_those_of_finite_differences(row, residual):
    module = pair(row, residual).double()
    shape = (2, CHANNELS, 3, 2)
    inputs = [sample(*shape, dtype=torch.float64).requires_grad_() for _ in range(1 + residual)]
    names = [name for name, _ in module.named_parameters()]

    def function(*values):
        params = dict(zip(names, values[: len(names)], strict=True))
        return torch.func.functional_call(module, params, values[len(names) :])

    values = [p.detach().clone().requires_grad_() for p in module.parameters()]
    assert torch.autograd.gradcheck(function, (*values, *inputs), fast_mode=True)


@pytest.mark.parametrize('scale', [2.0, 2000.0])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_inputs_give_the_fp64_result_rounded(row, dtype, scale):
    module = pair(row)
    x = sample(2, CHANNELS, 6, 5, dtype=dtype, scale=scale)
    out = module(x.clone())
    assert out.dtype == dtype
    expected = copy.deepcopy(module).double()(x.double())
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(
        out.double(), expected, rtol=tolerance, atol=tolerance * expected.abs().max().item()
    )


def test_layouts_agree(row):
    module = pair(row)
    x = sample(2, CHANNELS, 6, 5)
    outs = []
    for layout in (torch.contiguous_format, torch.channels_last):
        value = x.clone(memory_format=layout).requires_grad_()
        out = copy.deepcopy(module)(value)
        out.square().sum().backward()
        outs.append((out, value.grad))
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-4, atol=1e-4)


def test_the_batch_matters_where_the_row_says_so_and_nowhere_else(row):
    module = pair(row).train()
    x = sample(4, CHANNELS, 6, 5) * torch.tensor([0.5, 1.0, 3.0, 9.0]).view(4, 1, 1, 1)
    together = copy.deepcopy(module)(x.clone())[:1]
    alone = copy.deepcopy(module)(x[:1].clone())
    same = torch.allclose(together, alone, rtol=1e-5, atol=1e-5)
    assert same == (not row.uses_batch)
    # In evaluation no norm depends on it.
    module.eval()
    torch.testing.assert_close(module(x.clone())[:1], module(x[:1].clone()))
    if not row.uses_batch:
        torch.testing.assert_close(module(x.clone())[:1], alone)


def test_a_saved_state_gives_the_same_outputs(row, tmp_path):
    module = pair(row).train()
    x = sample(2, CHANNELS, 6, 5)
    for _ in range(2):
        module(x.clone())
    torch.save(module.state_dict(), tmp_path / 'state.pth')
    other = pair(row, seed=7)
    other.load_state_dict(torch.load(tmp_path / 'state.pth'))
    assert torch.equal(module.eval()(x.clone()), other.eval()(x.clone()))
    assert torch.equal(module(x.clone()), copy.deepcopy(module)(x.clone()))


def test_compiles_without_a_graph_break_to_the_same_numbers(row):
    module = pair(row)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(module), backend='aot_eager', fullgraph=True)
    results = []
    for run in (module, compiled):
        x = sample(2, CHANNELS, 6, 5).requires_grad_()
        out = run(x)
        out.square().sum().backward()
        results.append((out, x.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)


def test_norm_decay_mult_reaches_every_parameter(row):
    model = nn.Sequential(nn.Conv2d(3, CHANNELS, 1), pair(row))
    for name, decay in weight_decays(model, norm_decay_mult=0.0).items():
        assert decay == (0.1 if name.startswith('0.') else 0.0), name


def test_a_weight_of_zero_leaves_the_residual_alone(row):
    if not row.zero_init:
        pytest.skip('the row says that a weight of 0 is not an output of 0')
    module = pair(row, residual=True)
    constant_init(module.norm, 0)
    x, residual = sample(2, CHANNELS, 6, 5), sample(2, CHANNELS, 6, 5).flip(0)
    torch.testing.assert_close(module(x, residual.clone()), module.act(residual.clone()))


def test_a_norm_gives_up_its_activation_only_where_a_residual_follows(row):
    alone, summed = pair(row), pair(row, residual=True)
    assert not contains_act(summed.norm)
    assert isinstance(alone.act, nn.Identity) == contains_act(alone.norm)
    assert not isinstance(summed.act, nn.Identity)


@pytest.mark.parametrize('act', ACTS, ids=lambda act: act.label)
@pytest.mark.parametrize('label', ['GN', 'FRN'])
def test_every_activation_follows_any_norm(act, label):
    (row,) = [row for row in NORMS if row.label == label]
    torch.manual_seed(0)
    module = Pair(row.norm_cfg, act.act_cfg).double()
    assert type(module.act) is act.layer
    x = sample(2, CHANNELS, 3, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: module(x.clone()), (x,), fast_mode=True)
    half = module.float()(sample(2, CHANNELS, 3, 2, dtype=torch.float16))
    assert half.dtype == torch.float16


# A process of its own needs a GPU for SyncBN; the toy exists in this process alone.
DISTRIBUTED = [row for row in NORMS if row.label != 'SyncBN']


def _train(rank, rendezvous, out):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{rendezvous}', rank=rank, world_size=2)
    plain = {row.label: pair(row) for row in DISTRIBUTED}
    summed = {f'{row.label} sum': pair(row, residual=True) for row in DISTRIBUTED}
    # Modules' names may not contain dots.
    model = nn.ModuleDict({**plain, **summed})
    model.forward = lambda x: sum(
        m(x.clone(), x.clone() if name.endswith('sum') else None).square().mean()
        for name, m in model.items()
    )
    ddp = DistributedDataParallel(model)  # raises in the second step if a parameter went unused
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.01)
    for step in range(2):
        torch.manual_seed(2 * step + rank)
        loss = ddp(torch.randn(2, CHANNELS, 4, 4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    params = {name: p.detach() for name, p in model.named_parameters()}
    torch.save({'without': without, 'params': params}, f'{out}{rank}.pth')
    dist.destroy_process_group()


def test_two_processes_train_every_norm_and_agree(tmp_path):
    mp.spawn(_train, (tmp_path / 'rendezvous', str(tmp_path / 'rank')), nprocs=2)
    first, second = (torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2))
    assert first['without'] == second['without'] == []
    for name, value in first['params'].items():
        assert torch.equal(value, second['params'][name]), name
