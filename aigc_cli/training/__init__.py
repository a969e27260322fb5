"""What training computes without tensors: metrics, estimates, the report."""
