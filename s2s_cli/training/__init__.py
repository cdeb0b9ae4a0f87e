"""Training: loss, optimiser, schedule, validation, averaging, and the loop that ties them together."""
