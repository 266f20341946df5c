"""Benchmarks: each measures claims about speed and prints each result beside its bar.

Run one with `python -m benchmarks.<name>` from the root of the checkout. `--quick` is a small version that
takes seconds and says nothing about speed.
"""
