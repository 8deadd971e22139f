"""Experiments: detectors that differ in their norm, trained and compared.

``plan`` says which runs there are (``scaling`` fits a config to a batch size, ``smoke`` shrinks
one), ``runner`` trains them in processes of their own (``train_run``), ``results`` reads what came
out into rows, and ``report`` makes tables (``table``, ``differences``) and pictures (``plots``) of
them. ``table6`` is the preset with the paper's protocol (``paper``).
"""
