"""Training of one trial: the networks, early stopping, and the trainers."""
