"""The README's config is a working one."""

import re
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from mmdet_frn.layers import FRN, TLU

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_config_builds_a_detector_with_frn_everywhere(tmp_path):
    blocks = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
    (code,) = (block for block in blocks if '_base_' in block)
    (tmp_path / 'mine.py').write_text(code)
    register_all_modules()
    model = MODELS.build(Config.fromfile(tmp_path / 'mine.py').model)
    for part in (model.backbone, model.neck, model.bbox_head):
        kinds = {type(m) for m in part.modules()}
        assert {FRN, TLU} <= kinds
        assert not kinds & {nn.BatchNorm2d, nn.ReLU}
    assert {m.eps for m in model.modules() if isinstance(m, FRN)} == {1e-6}
    with torch.no_grad():
        scores, _ = model.bbox_head(model.neck(model.backbone(torch.randn(1, 3, 128, 128))))
    assert [score.shape[-1] for score in scores] == [16, 8, 4, 2, 1]
