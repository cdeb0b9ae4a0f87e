"""From corpora to batches: reading, cleaning, token shards, and the order in which training sees them."""
