"""The report page: counts, self-checks and contact sheets in one self-contained HTML file."""

from posepile.report.page import write_report, write_view

__all__ = ["write_report", "write_view"]
