"""What preparing data costs and survives: `scripts/bench_data`."""
