"""What every ``eval.py`` needs: command line, prediction files, matching, averages, results.

Metrics are in :mod:`posepile.metrics`; the reader of a benchmark's truth, its rules and the names
of its figures are in the dataset's ``eval.py``.
"""
