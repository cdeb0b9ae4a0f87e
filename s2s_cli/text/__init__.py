"""Text hygiene, scripts of languages, and tokenizers."""
