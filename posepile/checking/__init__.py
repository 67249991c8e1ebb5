"""The contract test of a dataset folder: what every dataset must do, asked of its miniature.

``posepile check NAME`` and ``tests/test_contract.py`` are thin over :func:`.check.check_dataset`.
Truth comes from the miniature (written from the card) and from the drawn pixels, not from our own
inverse. ``python -m posepile.checking.mutants`` tests the test: it plants faults and expects them
to be found. ``python -m posepile.checking.kills`` kills runs and compares what the next ones
leave.
"""
