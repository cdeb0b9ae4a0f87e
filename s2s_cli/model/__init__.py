"""The family of sequence-to-sequence models: encoders, contexts, attentions, decoders, and the kernels that run them.

Sizes in names: B sentences of a batch, S source length, T target length, K hypotheses of a sentence, E embedding,
H hidden state, M width of the encoder's output, A width of the attention, G all gates of a cell, R readout,
V vocabulary. X stands for any position along a sequence: T in training, K in decoding.
"""
