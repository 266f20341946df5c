"""Weights & Biases: what is logged, and the saved view of a project.

Importing this package does not import the library of the same name; only the modules that log do.
"""
