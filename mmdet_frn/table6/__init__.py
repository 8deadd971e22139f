"""What the configs of the paper's Table 6 are derived from."""

from .schedule import PaperSchedule, paper_schedule

__all__ = ['PaperSchedule', 'paper_schedule']
