"""The data preprocessor that tells the layers which pixels it has padded."""

from __future__ import annotations

from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import MODELS

from mmdet_frn.layers import set_image_sizes


@MODELS.register_module()
class PadMaskedDetDataPreprocessor(DetDataPreprocessor):
    """DetDataPreprocessor for the layers of :mod:`mmdet_frn.layers.pad_masked`.

    Sizes are the samples' ``img_shape``: what the pipeline's own ``Pad`` adds counts as image.

    Args:
        kwargs: As for DetDataPreprocessor.

    Raises:
        ValueError: pad_value is not 0, the value that a convolution sees beyond its border.
    """

    def __init__(self, **kwargs) -> None:
        if kwargs.get('pad_value', 0) != 0:
            raise ValueError(
                f'pad_value must be 0, as beyond the border of a convolution, '
                f'got {kwargs["pad_value"]}'
            )
        super().__init__(**kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalise, pad and stack, and set the sizes of the images.

        Raises:
            ValueError: there are no data samples to read ``img_shape`` from.
        """
        data = super().forward(data, training)
        samples = data['data_samples']
        if samples is None:
            raise ValueError(
                'PadMaskedDetDataPreprocessor reads img_shape of the data samples, got none; '
                'pass data_samples, or use DetDataPreprocessor'
            )
        set_image_sizes(data['inputs'], [sample.img_shape[:2] for sample in samples])
        return data
