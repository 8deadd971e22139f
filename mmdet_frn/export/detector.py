"""A single-stage detector as one graph: normalisation, network, decoding and NMS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import AnchorHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import SingleStageDetector
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.coders.delta_xywh_bbox_coder import delta2bbox
from torch import Tensor, nn

from mmdet_frn.utils.errors import UsageError

from .nms import non_max_suppression


class RawDetector(nn.Module):
    """A single-stage detector from pixels to the outputs of its head.

    Images are (N, 3, H, W) as MMDetection's pipelines pack them: channels in the file reader's
    order (BGR), 0 to 255. They are normalised and padded as the model's ``data_preprocessor`` does.

    Args:
        model: The detector; its parameters may be fp16, images and outputs stay fp32.
    """

    def __init__(self, model: SingleStageDetector) -> None:
        super().__init__()
        self.model = model
        preprocessor = model.data_preprocessor
        self.reverse_channels = preprocessor._channel_conversion
        self.divisor = preprocessor.pad_size_divisor
        self.pad_value = preprocessor.pad_value
        if preprocessor._enable_normalize:
            self.register_buffer('mean', preprocessor.mean.clone(), persistent=False)
            self.register_buffer('std', preprocessor.std.clone(), persistent=False)
        else:
            self.mean = self.std = None

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalise and pad images (N, 3, H, W)."""
        if self.reverse_channels:
            images = images[:, [2, 1, 0]]
        if self.mean is not None:
            images = (images - self.mean.float()) / self.std.float()
        height, width = images.shape[-2:]
        padding = (0, -width % self.divisor, 0, -height % self.divisor)
        return F.pad(images, padding, value=self.pad_value)

    def outputs(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the class scores and box deltas of every level, in fp32."""
        dtype = next(self.model.parameters()).dtype
        images = self.preprocess(images).to(dtype)
        outputs = self.model.bbox_head(self.model.extract_feat(images))
        if len(outputs) != 2:
            raise UsageError(
                f'{type(self.model.bbox_head).__name__} has {len(outputs)} outputs a level; only '
                f"heads with class scores and box deltas are exported, as RetinaNet's"
            )
        scores, deltas = outputs
        return [s.float() for s in scores], [d.float() for d in deltas]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the class scores of every level, then the box deltas of every level."""
        scores, deltas = self.outputs(images)
        return *scores, *deltas


class Detector(RawDetector):
    """A single-stage detector from pixels to detections: :class:`RawDetector`, decoding and NMS.

    What MMDetection's ``predict`` computes for images of one size, but with shapes that do not
    depend on data: every image has ``max_per_img`` detections, of which the last may be empty.

    Args:
        model: As for :class:`RawDetector`, with an anchor head as RetinaNet's.

    Raises:
        UsageError: the head decodes its outputs in a way of its own, or the NMS is not by class.
    """

    def __init__(self, model: SingleStageDetector) -> None:
        super().__init__(model)
        _check_decoding(model.bbox_head)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Detect objects in images (N, 3, H, W).

        Returns:
            Boxes and scores (N, K, 5), x1, y1, x2, y2 and score, best first, in pixels of
            ``images``; labels (N, K), int64. Empty entries have score 0 and label -1.
        """
        scores, deltas = self.outputs(images)
        return self.decode(scores, deltas, images.shape[-2:])

    def decode(
        self, level_scores: list[Tensor], level_deltas: list[Tensor], image_size: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Turn the outputs of :class:`RawDetector` into detections.

        Args:
            level_scores: Class scores of every level, (N, anchors * classes, H_l, W_l).
            level_deltas: Box deltas of every level, (N, anchors * 4, H_l, W_l).
            image_size: Height and width of the images, to which boxes are clipped.

        Returns:
            As :meth:`forward`.
        """
        head, cfg = self.model.bbox_head, self.model.bbox_head.test_cfg
        anchors = head.prior_generator.grid_priors(
            [scores.shape[-2:] for scores in level_scores], device=level_scores[0].device
        )
        levels = zip(level_scores, level_deltas, anchors, strict=True)
        candidates = [self._candidates(*level, image_size) for level in levels]
        boxes, scores, labels = (torch.cat(parts, dim=1) for parts in zip(*candidates, strict=True))
        return select(
            boxes, scores, labels, head.num_classes, cfg.nms.iou_threshold, cfg.max_per_img
        )

    def _candidates(
        self, scores: Tensor, deltas: Tensor, anchors: Tensor, image_size: Sequence[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a level's best ``nms_pre`` boxes, scores and labels; score 0 where unwanted."""
        head, cfg = self.model.bbox_head, self.model.bbox_head.test_cfg
        coder = head.bbox_coder
        scores = scores.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, head.cls_out_channels))
        scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(2)[..., :-1]
        scores, index = best(scores.flatten(1), cfg.get('score_thr', 0.0), cfg.get('nms_pre', -1))
        labels, index = index % head.num_classes, index // head.num_classes
        deltas = deltas.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4))
        boxes = delta2bbox(
            anchors[index.flatten()],
            deltas.gather(1, index[..., None].expand(-1, -1, 4)).flatten(0, 1),
            coder.means,
            coder.stds,
            max_shape=image_size,
            clip_border=coder.clip_border,
            add_ctr_clamp=coder.add_ctr_clamp,
            ctr_clamp=coder.ctr_clamp,
        ).unflatten(0, index.shape)
        size = (boxes[..., 2:] - boxes[..., :2]).amin(2)
        return boxes, torch.where(size > cfg.get('min_bbox_size', -1), scores, 0.0), labels


def best(scores: Tensor, threshold: float, number: int) -> tuple[Tensor, Tensor]:
    """Return the ``number`` best scores of (N, M) and their indices, 0 in place of low ones.

    Where M is dynamic and less than ``number``, entries of score 0 and index 0 fill up.
    """
    scores = torch.where(scores > threshold, scores, 0.0)
    if isinstance(scores.shape[1], torch.SymInt) and number > 0:
        scores = F.pad(scores, (0, number))  # then TopK's k is a constant
        best_scores, index = scores.topk(number)
        return best_scores, torch.where(best_scores > 0, index, 0)
    return scores.topk(min(number, scores.shape[1]) if number > 0 else scores.shape[1])


def select(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    num_classes: int,
    iou_threshold: float,
    max_per_img: int,
) -> tuple[Tensor, Tensor]:
    """Suppress boxes that overlap better ones of their class, and keep the best ``max_per_img``.

    Args:
        boxes: (N, P, 4), two corners.
        scores: (N, P), 0 for a box that is none.
        labels: (N, P), int64.
        num_classes: Classes.
        iou_threshold: A box that overlaps a better one by more is dropped.
        max_per_img: Entries of the result.

    Returns:
        As :meth:`Detector.forward`.
    """
    classes = torch.arange(num_classes, device=labels.device)[:, None]
    by_class = torch.where(labels[:, None] == classes, scores[:, None], 0.0)
    image, _, box = non_max_suppression(boxes, by_class, max_per_img, iou_threshold, 0.0).unbind(1)
    kept = torch.zeros_like(scores).index_put((image, box), scores.new_ones(()))
    scores, index = (scores * kept).topk(max_per_img)
    boxes = boxes.gather(1, index[..., None].expand(-1, -1, 4))
    labels = torch.where(scores > 0, labels.gather(1, index), -1)
    return torch.cat([boxes, scores[..., None]], dim=2), labels


def _check_decoding(head: nn.Module) -> None:
    """Raise unless the head is decoded as an anchor head with deltas and NMS by class."""
    remedy = 'export its raw outputs with --raw and decode them outside'
    if not (
        isinstance(head, AnchorHead)
        and type(head)._predict_by_feat_single is BaseDenseHead._predict_by_feat_single
        and type(head.bbox_coder) is DeltaXYWHBBoxCoder
    ):
        raise UsageError(
            f'{type(head).__name__} with {type(head.bbox_coder).__name__} is not decoded as '
            f"RetinaNet's head is; {remedy}"
        )
    nms = head.test_cfg.nms
    if nms.get('type', 'nms') != 'nms' or nms.get('class_agnostic', False):
        raise UsageError(f'test_cfg.nms must be plain NMS by class, got {dict(nms)}; {remedy}')
