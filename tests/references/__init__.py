"""Straightforward evaluators of the benchmarks, written from the datasets' cards alone.

They share no line with the package: the tests compare the protocols with them.
"""
