"""The command line: one module a command, each of which parses and calls; `app` puts them together."""
