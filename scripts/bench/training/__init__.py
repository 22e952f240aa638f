"""Training speed, memory and exactness beside other stacks: `scripts/bench_training`."""
