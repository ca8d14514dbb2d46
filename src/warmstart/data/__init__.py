"""From runs to training batches: the store, normalisation, the tensor layout."""
