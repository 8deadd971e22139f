"""Non-maximum suppression as one op, which ONNX writes as its NonMaxSuppression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import batched_nms


@torch.library.custom_op('mmdet_frn::non_max_suppression', mutates_args=())
def non_max_suppression(
    boxes: Tensor, scores: Tensor, max_per_class: int, iou_threshold: float, score_threshold: float
) -> Tensor:
    """Select boxes, image by image and class by class.

    Args:
        boxes: (N, P, 4), two corners.
        scores: (N, C, P).
        max_per_class: Boxes selected at most in an image and class.
        iou_threshold: A box that overlaps a better one by more is dropped.
        score_threshold: Boxes must score more.

    Returns:
        Indices (M, 3) of image, class and box, int64.
    """
    selected = []
    for image, (image_boxes, image_scores) in enumerate(zip(boxes, scores, strict=True)):
        label, box = (image_scores > score_threshold).nonzero(as_tuple=True)
        keep = batched_nms(image_boxes[box], image_scores[label, box], label, iou_threshold)
        for c in range(scores.shape[1]):
            of_class = keep[label[keep] == c][:max_per_class]
            index = torch.full_like(of_class, image), label[of_class], box[of_class]
            selected.append(torch.stack(index, dim=1))
    return torch.cat(selected)


@non_max_suppression.register_fake
def _(boxes: Tensor, scores: Tensor, *_) -> Tensor:
    selected = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((selected, 3), dtype=torch.int64)


def onnx_translation() -> dict[Any, Callable]:
    """Return the op's translation, a ``custom_translation_table`` for ``torch.onnx.export``."""
    from onnxscript import opset18

    op: Any = opset18  # it types constants as what they hold

    def translate(
        boxes: Any, scores: Any, max_per_class: int, iou_threshold: float, score_threshold: float
    ) -> Any:
        return op.NonMaxSuppression(
            boxes,
            scores,
            op.Constant(value_ints=[max_per_class]),
            op.Constant(value_floats=[iou_threshold]),
            op.Constant(value_floats=[score_threshold]),
        )

    return {torch.ops.mmdet_frn.non_max_suppression.default: translate}
