"""Training of one trial: networks, trainers, early stopping and checkpoints."""
