"""How one trial trains: the network, early stopping, and the trainers."""
