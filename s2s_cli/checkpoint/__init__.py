"""What a run leaves on disk: checkpoints, the lock of its directory, and the exported model.

Nothing is ever unpickled, every file is checked against a manifest before it is used, and every directory appears under
its name whole or not at all.
"""
