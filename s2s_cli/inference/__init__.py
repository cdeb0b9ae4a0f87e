"""Translation with a trained model: `Translator` for lists of lines, `translate_stream` for bytes in and bytes out."""
