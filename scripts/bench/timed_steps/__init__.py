"""What a timed step of training needs, whoever trains: random weights, packed rows, processes, a stopwatch."""
