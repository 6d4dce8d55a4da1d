"""How regularization is searched: data, training, workers, and the coordinator that asks and tells."""
