"""Corpora of which a model writes one side: back-translation, distillation, data diversification."""
