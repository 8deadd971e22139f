"""Filter Response Normalization and the Thresholded Linear Unit for MMDetection."""
