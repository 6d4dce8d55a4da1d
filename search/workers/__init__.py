"""Workers: where trials train (this process, subprocesses, a Ray cluster), and the protocol they speak."""
