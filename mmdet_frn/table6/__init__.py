"""Table 6 of the paper on COCO: what ``tools/table6.py`` plans, runs and reports.

``schedule`` has the numbers that the configs are derived from, ``cells`` makes the cells that
``mmdet_frn.compare`` trains, ``shrink`` and ``subset`` fit them to a trial, ``step_time`` and
``plan`` say what they cost, ``slurm`` hands them to a cluster, ``report`` and ``figure`` write the
table with the paper's figures (``paper``) beside it.
"""

from .schedule import PaperSchedule, paper_schedule

__all__ = ['PaperSchedule', 'paper_schedule']
