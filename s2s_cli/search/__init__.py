"""Search: from a model of the next symbol to the best sentences (greedy, beam) or to drawn ones (sampling)."""
