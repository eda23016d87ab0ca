"""What one would write without Hookline, each as well as it can be; none imports the product."""
