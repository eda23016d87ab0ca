"""`hookline demo`: run the whole pipeline on one machine, kill its parts and prove the result."""
