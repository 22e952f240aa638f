"""The estimator's grid measured on the GPUs that are here, and a profile fitted to it: `scripts/calibrate`."""
