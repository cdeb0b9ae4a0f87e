"""Seeing attention: which source pieces each target piece was written from, as a page or as pictures."""
