"""Measurements: a package for each stage, and `timed_steps`, which training and estimator share."""
