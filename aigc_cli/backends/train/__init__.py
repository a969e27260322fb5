"""Training with tensors: samples -> tokens -> a store on disk -> a plan of steps -> batches -> updates of the weights -> a result."""
