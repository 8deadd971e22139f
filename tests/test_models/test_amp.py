"""Training in mixed precision: the fused ops follow the reference's loss curve, and fp32's."""

from contextlib import nullcontext

import pytest
import torch
from mmdet.testing import demo_mm_inputs

from mmdet_frn.export.main import build_detector
from mmdet_frn.ops.library import has_kernels, reference_only

STEPS = 25


@pytest.fixture
def losses(tiny_config):
    """Return a function that trains the small RetinaNet on four images; its losses result."""

    def train(device, *, fused, amp):
        with nullcontext() if fused else reference_only():
            torch.manual_seed(0)
            model = build_detector(tiny_config(), None).to(device).train()
            # So low that rounding does not grow from step to step: seen differing by 0.8 %.
            optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
            shapes = [(3, 96, 96)] * 4
            data = demo_mm_inputs(4, shapes, num_items=[3] * 4, num_classes=4, device=device)
            data = model.data_preprocessor(data, training=True)
            values = []
            for _ in range(STEPS):
                with torch.autocast(device, dtype=torch.bfloat16, enabled=amp):
                    loss, _ = model.parse_losses(model(**data, mode='loss'))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                values.append(loss.item())
            return torch.tensor(values)

    return train


@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def test_loss_curve_is_the_references(losses, device):
    if not has_kernels(device):
        pytest.skip(f'no compiled {device} kernels here')
    fused = losses(device, fused=True, amp=True)
    reference = losses(device, fused=False, amp=True)
    full = losses(device, fused=True, amp=False)
    # It learns, so that the curves have something to agree on.
    assert full[-1] < 0.7 * full[0]
    torch.testing.assert_close(fused, reference, rtol=0.02, atol=0)
    torch.testing.assert_close(fused, full, rtol=0.03, atol=0)
