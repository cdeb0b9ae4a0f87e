"""Documents: files of which only the text is translated. A format is one class and one row of `formats.FORMATS`."""
