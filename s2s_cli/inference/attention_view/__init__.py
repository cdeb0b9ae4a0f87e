"""Heat maps of attention, from source pieces to target pieces, as a page or as pictures."""
