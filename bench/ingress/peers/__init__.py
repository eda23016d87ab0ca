"""What one would write in place of the ingress, each as well as it can be."""
