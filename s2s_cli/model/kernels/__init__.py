"""How recurrences are run, and products. Every kernel computes the same functions; they differ in speed alone."""
