"""prepare beside other libraries, each in an environment of its own: `scripts/bench_data rivals`."""
