"""What `ray-ft plan` predicts beside what was measured: `scripts/calibrate` and `scripts/compare_estimators`."""
