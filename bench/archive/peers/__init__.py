"""What one would write in place of the archive, each as well as it can be."""
