"""Benchmarks: each measures one claim about speed and prints it beside its bar.

Run one with `python -m benchmarks.<name>` from the root of the checkout; `--quick` is a small version that
takes seconds and says nothing about speed.
"""
