"""Translation of more than one machine does in a day: files in parts, each of which is done once, whoever does it."""
