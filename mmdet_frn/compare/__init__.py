"""Training and comparing detectors that differ in their normalisation, cell by cell of a table.

``cells`` says what there is to do, ``scaling`` fits a config to a batch size, ``run_cell`` trains
and evaluates one cell in a process of its own, ``runner`` takes the cells one after the other and
``report`` writes what came out: ``table``, ``curves`` and ``detections``.
"""
