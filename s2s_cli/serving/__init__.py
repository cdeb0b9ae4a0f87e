"""Translation over HTTP: one queue before the models, and the interfaces that other programs know already."""
